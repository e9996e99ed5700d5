# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Completion of `defused` in bash, with or without the package bash-completion. It runs no program: all it looks at are
# names of files, where a file is expected, and the kernel's list of FUSE connections.

# What is expected after an option, in `expected`: file, nothing (a text of one's own), or "" (it takes no value).
_defused_value_of() {
  case $1 in
    --config | --web.config.file | --output | -o) expected='file' ;;
    --explain) expected=all ;;
    --web.listen-address | --web.telemetry-path | --samples | --every | --override | --critical-after) expected=nothing ;;
    *) expected='' ;;
  esac
}

# In `options`: those of a command, "" for defused itself, "config check" for that of config.
_defused_options_of() {
  local look="--samples --every --config"
  case $1 in
    '') options="--version" ;;
    run) options="--config --web.listen-address --web.telemetry-path --web.config.file" ;;
    scan | explain | connections) options="--json $look" ;;
    abort) options="--override --yes --json $look" ;;
    check) options="--json --probe --node-problem-detector --warnings --critical-after --config" ;;
    capture) options="-o --output --all --redact --force $look" ;;
    replay) options="--json --explain --config" ;;
    pause) options="--config" ;;
    resume) options="--reset-breaker --config" ;;
    version) options="--json" ;;
    config | 'config check' | 'config schema' | 'config defaults' | help*) options="" ;;
    *) return 1 ;;
  esac
  options="-h --help $options"
}

# In `operand`: what the command takes beside options; as expected in _defused_value_of, or words.
_defused_operand_of() {
  case $1 in
    '') operand="run scan explain connections abort check capture replay pause resume config version help" ;;
    help) operand="run scan explain connections abort check capture replay pause resume config version" ;;
    config | 'help config') operand="check schema defaults" ;;
    abort) operand=connection ;;
    replay | 'config check') operand='file' ;;
    *) operand=nothing ;;
  esac
}

_defused_offer() {
  local word=$2 entry
  COMPREPLY=()
  case $1 in
    nothing) ;;
    file)
      compopt -o filenames 2>/dev/null
      while IFS= read -r entry; do COMPREPLY+=("$entry"); done < <(compgen -f -- "$word")
      ;;
    connection)
      for entry in /sys/fs/fuse/connections/[0-9]*; do
        entry=${entry##*/}
        [[ $entry =~ ^[0-9]+$ && $entry == "$word"* ]] && COMPREPLY+=("$entry")
      done
      ;;
    *) while IFS= read -r entry; do COMPREPLY+=("$entry"); done < <(compgen -W "$1" -- "$word") ;;
  esac
}

_defused() {
  local word=${COMP_WORDS[COMP_CWORD]} command='' given=0 position expected='' options operand
  for ((position = 1; position < COMP_CWORD; position++)); do
    if [[ -n $expected ]]; then # the value of the option before; bash makes `--every=5s` three words
      [[ ${COMP_WORDS[position]} == '=' ]] || expected=''
      continue
    fi
    case ${COMP_WORDS[position]} in
      -*) _defused_value_of "${COMP_WORDS[position]}" ;;
      *)
        _defused_operand_of "$command"
        if [[ " $operand " == *" ${COMP_WORDS[position]} "* && $operand == *' '* ]]; then
          command=${command:+$command }${COMP_WORDS[position]}
        else
          given=1
        fi
        ;;
    esac
  done
  _defused_options_of "$command" || return
  _defused_operand_of "$command"
  if [[ -n $expected ]]; then
    [[ $word == '=' ]] && word=''
    _defused_offer "$expected" "$word"
  elif [[ $word == -* ]]; then
    _defused_offer "$options" "$word"
  elif ((!given)); then
    _defused_offer "$operand" "$word"
  fi
}

complete -F _defused defused
