#!/bin/sh
# Coding agents, unmodified and without a terminal, against `hoosh serve`: `tests/compat/agents.sh [claude codex
# opencode aider]`, all without an argument. They are large, so no test runs this; docs/dialects.md has its last output.
#
# AGENTS names the folder where they are installed (default: a temporary one). Each agent is one function: it installs
# itself, asks for a command to be run, and must print what the command said. The model behind the gateway is
# tests/compat/scripted.py, which asks for that command and repeats what it said.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
agents=${AGENTS:-$(mktemp -d)}
work=$(mktemp -d)
mkdir -p "$agents"
trap 'kill $pids 2>/dev/null || true; rm -rf "$work"' EXIT
pids=

python="$root/.venv/bin/python"
question="Run the command."
wanted="The tool says: hoosh-42"
capital="The capital of France is Paris."

started() { # pid, file, pattern: waits until a line of the file matches, for as long as the process lives
    until grep -q "$3" "$2"; do
        kill -0 "$1"
        sleep 0.1
    done
}

serve() { # the scripted model, and the gateway before it: sets $url
    : >"$work/model.out"
    : >"$work/serve.out"
    "$python" "$root/tests/compat/scripted.py" >"$work/model.out" &
    pids="$pids $!"
    started $! "$work/model.out" http
    cat >"$work/hoosh.toml" <<CONFIG
[discovery]
enabled = false
env_keys = false
[embedded]
enabled = false
[[providers]]
type = "openai"
name = "scripted"
base_url = "$(cat "$work/model.out")"
models = ["agent", "say"]
CONFIG
    clean HOME="$work" "$python" -m hoosh serve --port 0 --config "$work/hoosh.toml" \
        >"$work/serve.out" 2>"$work/serve.log" &
    pids="$pids $!"
    started $! "$work/serve.out" ^ready
    url=$(grep -oE 'http://[^ ]+:[0-9]+' "$work/serve.out" | head -n 1)
}

clean() { # a command without the developer's own keys and configuration, in place of this (sub)shell
    exec env -i PATH="$PATH" LANG="${LANG:-C.UTF-8}" "$@"
}

package() { # name: installs it once and prints its version
    [ -d "$agents/node_modules/$1" ] || npm install --silent --no-audit --no-fund --prefix "$agents" "$1"
    node -p "'$1 ' + require('$agents/node_modules/$1/package.json').version"
}

check() { # name, answer, [what it must hold]
    case "$2" in
    *"${3:-$wanted}"*) echo "$1: ok: $2" ;;
    *) echo "$1: FAILED: $2" >&2 && cat "$work/serve.log" >&2 && return 1 ;;
    esac
}

claude() {
    package @anthropic-ai/claude-code
    mkdir -p "$work/claude"
    answer=$(cd "$work/claude" && clean HOME="$work/claude" \
        ANTHROPIC_BASE_URL="$url" ANTHROPIC_API_KEY=any ANTHROPIC_MODEL=agent ANTHROPIC_SMALL_FAST_MODEL=agent \
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 DISABLE_TELEMETRY=1 DISABLE_AUTOUPDATER=1 \
        timeout 300 "$agents/node_modules/.bin/claude" -p --allowedTools Bash -- "$question" </dev/null)
    check claude "$answer"
}

codex() { # says what it was told of a command with a head, which the answer repeats
    package @openai/codex
    mkdir -p "$work/codex/.codex"
    cat >"$work/codex/.codex/config.toml" <<CONFIG
model = "agent"
model_provider = "hoosh"
[model_providers.hoosh]
name = "hoosh"
base_url = "$url/v1"
env_key = "HOOSH_KEY"
wire_api = "responses"
CONFIG
    answer=$(cd "$work/codex" && clean HOME="$work/codex" HOOSH_KEY=any timeout 300 \
        "$agents/node_modules/.bin/codex" exec --skip-git-repo-check --dangerously-bypass-approvals-and-sandbox \
        "$question" </dev/null 2>"$work/codex/stderr.log")
    check codex "$(echo "$answer" | tr '\n' ' ' | sed 's/The tool says: .*Output: */The tool says: /')"
}

opencode() {
    package opencode-ai
    mkdir -p "$work/opencode"
    cat >"$work/opencode/opencode.json" <<CONFIG
{
  "provider": {
    "hoosh": {
      "npm": "@ai-sdk/openai-compatible",
      "options": {"baseURL": "$url/v1", "apiKey": "any"},
      "models": {"agent": {"name": "agent"}}
    }
  }
}
CONFIG
    answer=$(cd "$work/opencode" && clean HOME="$work/opencode" OPENCODE_DISABLE_AUTOUPDATE=1 \
        OPENCODE_DISABLE_MODELS_FETCH=1 timeout 300 \
        "$agents/node_modules/.bin/opencode" run -m hoosh/agent "$question" </dev/null 2>"$work/opencode/stderr.log")
    check opencode "$answer"
}

aider() { # has no tools: it asks for text, streamed, and edits files by what the text says
    [ -x "$agents/aider/bin/aider" ] ||
        { python3 -m venv "$agents/aider" && "$agents/aider/bin/pip" install --quiet aider-chat; }
    "$agents/aider/bin/aider" --version
    mkdir -p "$work/aider"
    answer=$(cd "$work/aider" && clean HOME="$work/aider" OPENAI_API_BASE="$url/v1" OPENAI_API_KEY=any \
        LITELLM_LOCAL_MODEL_COST_MAP=True timeout 300 "$agents/aider/bin/aider" --model openai/say \
        --message "What is the capital of France?" --yes-always --no-git --exit --no-check-update --analytics-disable \
        --no-show-model-warnings --no-pretty </dev/null 2>"$work/aider/stderr.log")
    check aider "$(echo "$answer" | grep -F "$capital")" "$capital"
}

[ $# -gt 0 ] || set -- claude codex opencode aider
serve
for agent in "$@"; do
    "$agent"
done
