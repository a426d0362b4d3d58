import { errors } from 'playwright-core';

/** Whether an action was done before its timeout; one that was not has done nothing and can be tried again. */
export async function inTime(action: Promise<void>): Promise<boolean> {
  try {
    await action;
    return true;
  } catch (error) {
    if (error instanceof errors.TimeoutError) return false;
    throw error;
  }
}
