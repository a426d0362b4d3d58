import type { Run } from '../context.ts';
import type { Specs } from '../specs/all.ts';
import { oneOf } from '../values.ts';

/** Each asks `niia __complete` with the words so far, the last one being completed, and offers what it prints. */
const scripts = {
  bash: `# niia completion for bash:  source <(niia completion bash)
_niia() {
  local line
  COMPREPLY=()
  while IFS= read -r line; do
    COMPREPLY+=("\${line%%$'\\t'*}")
  done < <(niia __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o bashdefault -o default -F _niia niia
`,
  zsh: `#compdef niia
# niia completion for zsh:  niia completion zsh > ~/.zfunc/_niia  (a folder of $fpath)
_niia() {
  local line
  local -a offers
  for line in "\${(@f)$(niia __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    [[ -n $line ]] && offers+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
  done
  if (( \${#offers} )); then _describe niia offers; else _files; fi
}
if [[ $funcstack[1] == _niia ]]; then _niia; else compdef _niia niia; fi
`,
  fish: `# niia completion for fish:  niia completion fish > ~/.config/fish/completions/niia.fish
function __niia_complete
  set -l words (commandline -opc) (commandline -ct)
  niia __complete -- $words[2..] 2>/dev/null
end
complete -c niia -f -a '(__niia_complete)'
`,
} as const;

export const completion: Run<Specs['completion']> = async ({ args: [shell] }, { out }) => {
  await out.text(scripts[oneOf(shell, ['bash', 'zsh', 'fish'], 'SHELL')]);
};
