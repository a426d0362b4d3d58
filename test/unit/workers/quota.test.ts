import { describe, expect, test } from 'vitest';
import { quotaLine } from '../../../daemon/workers/quota.ts';

const failed = "the prompt p failed: its command ended with exit code 1: Error: something else's wrong";

describe('that a model refuses more work for now', () => {
  test.each([
    ['claude', ' ⎿  5-hour limit reached ∙ resets 3pm'],
    ['claude', '● Claude AI usage limit reached|1761933600'],
    ['claude', " ⎿ You've hit your limit · resets 3pm (Europe/Berlin)"],
    ['claude', '  ⎿  API Error: Rate limit reached'],
    ['codex', "■ You've hit your usage limit. Upgrade to Pro or try again in 3 days 2 hours."],
    ['codex', '■ Rate limit reached for gpt-5 in organization org-x on tokens per min'],
    ['codex', '■ You exceeded your current quota, please check your plan and billing details.'],
    ['gemini', '✕ [API Error: {"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}]'],
    ['gemini', '│ Usage limit reached for gemini-2.5-pro.'],
    ['gemini', '✕ [API Error: You have exhausted your daily quota on this model.]'],
  ])('is told by %s in its own row: %s', (driver, row) => {
    expect(quotaLine(driver, ['before', row, '> '], failed)).toBe(row.trim());
  });

  test.each([
    ['claude', '● The function raises when the usage limit reached in the test is over.'],
    ['codex', '• The API answers 429 when the rate limit is exceeded.'],
    ['codex', '■ stream disconnected before completion'],
    ['gemini', '✦ Your quota is exceeded only in the example.'],
  ])('is not what a model of %s writes about: %s', (driver, row) => {
    expect(quotaLine(driver, [row], failed)).toBeUndefined();
  });

  test.each([
    'its command ended with exit code 1: Error: 429 Too Many Requests',
    "its command ended with exit code 1: You've hit your usage limit.",
    'its command ended with exit code 2: {"type":"error","error":{"type":"rate_limit_error"}}',
    'its command ended with exit code 1: openai.RateLimitError: insufficient_quota',
  ])('is told by a command with its last words: %s', (error) => {
    expect(quotaLine('exec', [], error)).toBe(error);
  });

  test('is not any other failure of a command, nor what it wrote before', () => {
    expect(quotaLine('exec', ['429 Too Many Requests'], failed)).toBeUndefined();
    expect(quotaLine('exec', [], 'exit code 1: limit of 10 files reached')).toBeUndefined();
  });
});
