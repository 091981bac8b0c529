# gitguard: `make demo` shows it, `make test` proves it. Both set themselves up.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
.DEFAULT_GOAL := help
unexport PYTHONDONTWRITEBYTECODE  # what is compiled once is not compiled again by each of two thousand commands

.PHONY: help
help: ## Show these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

.PHONY: demo
demo: $(READY) sshd ## Show the main job on a throw-away sshd: refused, enrol, verify, pushed
	@$(BIN)/python tools/demo.py

.PHONY: demo-web
demo-web: $(READY) sshd chromium ## Show the web page: a refused push, a browser, a code, and the push goes on
	@$(BIN)/python tools/demo_web.py

.PHONY: demo-postgres
demo-postgres: $(READY) client sshd postgresql ## Show one store for two servers: verify on one, push to the other, lose the database, go on
	@$(BIN)/python tools/demo_postgres.py

.PHONY: screenshots
screenshots: $(READY) sshd chromium ## Take the pictures of docs/web.md anew
	@$(BIN)/python tools/screenshots.py

.PHONY: flow
flow: $(READY) sshd chromium ## Steps and seconds from a refused push to one that continues, for each way there is
	@$(BIN)/python tools/flow.py

.PHONY: client
client: gitguard/gate/client ## Build the compiled client of gate and hook, for a server with an agent

STRICT := -std=c11 -O2 -Wall -Wextra -Wconversion -Wshadow -Werror -D_FORTIFY_SOURCE=2 -fstack-protector-strong -s
gitguard/gate/client: gitguard/gate/client.c
	@sh tools/need cc gcc
	@# Without libraries to load it starts quicker; where libc comes as a library alone, that serves as well.
	@cc $(STRICT) -static -o $@ $< 2>/dev/null || cc $(STRICT) -o $@ $<

.PHONY: fuzz
fuzz: ## Fuzz the compiled client for ten minutes, under sanitizers (needs clang)
	@sh tools/need clang clang
	@mkdir -p build/corpus && clang -std=c11 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
	  -Wno-unused-function -o build/fuzz_client tests/agent/fuzz_client.c
	@cd build && ./fuzz_client -max_total_time=$${SECONDS_OF_FUZZING:-600} -max_len=70000 -print_final_stats=1 corpus

.PHONY: test
test: $(READY) client sshd gitolite gcrypt logrotate compiler chromium fronts postgresql ## Run everything, with real sshd and real git
	@$(BIN)/python -m pytest -n 4 --dist worksteal

# The stories in which a request is answered: with an agent they must end as without.
THROUGH_AN_AGENT := tests/e2e tests/hook $(addprefix tests/regressions/test_,around_the_gate.py commands_over_ssh.py fault_matrix.py in_life.py \
  ref_names.py repositories_on_disk.py stolen_key.py trials.py unnoticed.py)

.PHONY: long
long: $(READY) client sshd postgresql ## What takes longer: a thousand kills, a year of 300 people, every remedy of doctor typed (ten minutes)
	@$(BIN)/python -m pytest -n 2 --dist worksteal -m long
	@GITGUARD_LAB_AGENT=compiled $(BIN)/python -m pytest -n 4 --dist worksteal $(THROUGH_AN_AGENT)
	@GITGUARD_LAB_AGENT=python $(BIN)/python -m pytest -n 3 --dist loadfile tests/e2e/test_journey.py tests/e2e/test_toggle.py tests/e2e/test_rules.py
	@GITGUARD_LAB_STORE=postgresql GITGUARD_LAB_AGENT=compiled $(BIN)/python -m pytest -n 4 --dist worksteal tests/e2e tests/hook
	@GITGUARD_SOAK=1 $(BIN)/python -m pytest -n 2 tests/regressions/test_kills.py

.PHONY: lint
lint: $(READY) ## Format, lint and types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

.PHONY: check
check: lint ## Format, lint, types and the fast tests, in under a minute
	@$(BIN)/python -m pytest -n 2 --dist worksteal -m "not e2e and not slow"

.PHONY: versions
versions: $(READY) ## The fast tests on every Python from 3.11 on that this machine has, and say which
	@$(BIN)/python tools/versions.py

.PHONY: bench
bench: $(READY) client sshd gitolite postgresql ## Measure the budgets of docs/architecture.md, side by side in one run
	@$(BIN)/python bench/run.py

.PHONY: estate
estate: $(READY) ## On paper: 50 000 people on 200 servers of one database, and where its lock bounds them
	@$(BIN)/python -m bench.estate

.PHONY: year
year: $(READY) ## A year of 300 people in the store: its weight and every command's time, before and after pruning and archiving
	@$(BIN)/python -m bench.year

.PHONY: growth
growth: $(READY) ## Measure how CPU and memory of each command grow, up to 10 000 people and a million records: ten minutes
	@$(BIN)/python bench/growth.py

.PHONY: faults
faults: $(READY) client ## Break every part in every way, the agent among them, and print what each action is answered
	@$(BIN)/python tools/faults.py

.PHONY: failures
failures: $(READY) client postgresql ## Fail a database in seventeen ways beneath a Git server, as root, and print what a person is answered: three minutes
	@$(BIN)/python -m lab.failures

.PHONY: gaps
gaps: $(READY) sshd ## Plant more than a hundred gaps on a server of its own, as root, and see doctor name each
	@$(BIN)/python -m lab.gaps

.PHONY: nights
nights: $(READY) sshd ## Live through every night of docs/operations.md on a server of its own, as root: break, mend, look again
	@$(BIN)/python -m lab.night

.PHONY: operations
operations: $(READY) sshd gitolite ## Type the page of operations: an empty server, one in use, a git-shell account (as root)
	@for story in empty in-use git-shell; do echo "== $$story"; $(BIN)/python -m lab.operations $$story || exit 1; done

.PHONY: reference
reference: $(READY) ## Write docs/reference.md and the man pages from the code
	@$(BIN)/python tools/reference.py && $(BIN)/python tools/man.py

.PHONY: format
format: $(READY) ## Format and mend what can be mended
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

.PHONY: coverage
coverage: $(READY) sshd gcrypt compiler ## Branch coverage of gitguard/ over the whole suite
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest -q
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

.PHONY: dist
dist: $(READY) ## Build the release into dist/: the sdist, and the wheel out of it
	@$(BIN)/python tools/dist.py

.PHONY: lock
lock: ## Renew requirements/dev.txt from dev.in, with hashes and without addresses (needs pip-tools)
	cd requirements && pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-header \
	  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file=dev.txt dev.in

.PHONY: sshd
sshd:
	@sh tools/need sshd openssh-server

.PHONY: postgresql
postgresql:
	@sh tools/need pg_lsclusters postgresql
	@sh tools/need pgbouncer pgbouncer
	@sh tools/need faketime faketime

.PHONY: gitolite
gitolite:
	@sh tools/need gitolite gitolite3

.PHONY: gcrypt
gcrypt:
	@sh tools/need git-remote-gcrypt git-remote-gcrypt
	@sh tools/need gpg gnupg

.PHONY: compiler
compiler:
	@sh tools/need cc gcc

.PHONY: fronts
fronts:
	@sh tools/need nginx nginx-light
	@sh tools/need apache2 apache2
	@sh tools/need haproxy haproxy
	@sh tools/need caddy caddy

.PHONY: chromium
chromium:
	@sh tools/need chromium chromium

.PHONY: logrotate
logrotate:
	@PATH=$$PATH:/usr/sbin sh tools/need logrotate logrotate

$(READY): requirements/dev.txt pyproject.toml tools/venv
	@sh tools/venv $(VENV)
	@touch $(READY)
