# Every target makes its own virtual environment in .venv; nothing else on the machine changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-postgres check coverage torture simulate mutation format docs interop clean

demo: $(VENV)/.demo
	@$(BIN)/prx-email demo

# More workers than cores: much of a test is waiting for a disk or a server.
WORKERS ?= 4
PYTEST = $(BIN)/pytest -n $(WORKERS) --dist loadgroup

# COUNT=1 counts branches on the way, for the make check COUNT=1 that follows, so that each test runs once.
test: $(VENV)/.dev
	$(if $(COUNT),$(COUNTING))
	$(PYTEST) $(if $(COUNT),$(addprefix --ignore=tests/,$(COVERING)))

# The commands on an outbox in a PostgreSQL database, all of them; make test has a few of each, marked on_both.
ON_POSTGRES ?= tests/cli tests/sendmail tests/listen tests/service tests/checks tests/submission tests/oauth \
               tests/restore/test_restored.py tests/config/test_environment.py tests/config/test_keyring.py \
               tests/delivery/test_handing_over.py tests/delivery/test_unasked.py tests/mail/test_html.py tests/mail/test_style.py \
               tests/mail/test_attachment_files.py tests/test_examples.py tests/strict/test_memory.py \
               tests/torture/test_named_points.py tests/torture/test_kills_by_hand.py tests/faults
test-postgres: $(VENV)/.dev
	PRX_TEST_OUTBOX=postgresql $(PYTEST) $(ON_POSTGRES)

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	@$(MAKE) --no-print-directory coverage

# Which branches of these folders the tests of them and of what uses them take: 95 % of each at least.
COVERED := outbox delivery smtp
COVERING := outbox delivery smtp oauth model damage restore files faults submission cli/test_drain.py cli/test_retry.py \
            sendmail/test_quick.py
COUNTING = $(PYTEST) $(addprefix tests/,$(COVERING)) --cov --cov-report=
coverage: $(VENV)/.dev
	$(if $(COUNT),,$(COUNTING))
	$(foreach folder,$(COVERED),$(BIN)/coverage report --include='prx_email_cli/$(folder)/*' --fail-under=95 &&) true

# The long campaigns; make test has short ones.  For a longer night: make torture KILLS=3000 ROUNDS=50 SEED=7
KILLS ?= 250
EACH ?= 500
COPIES ?= 20
MESSAGES ?= 20000
ROUNDS ?= 6
MACHINES ?= 10000
EXAMPLES ?= 2000
FUZZ ?= 10000
torture: $(VENV)/.dev
	@sh tests/install.sh strace strace
	TORTURE_KILLS=$(KILLS) TORTURE_COPIES=$(COPIES) TORTURE_EACH=$(EACH) TORTURE_MINUTES=1440 TORTURE_MESSAGES=$(MESSAGES) TORTURE_ROUNDS=$(ROUNDS) MODEL_EXAMPLES=$(EXAMPLES) \
	TORTURE_MACHINES=$(MACHINES) TORTURE_RESTARTS=5 TORTURE_OTHERS_WAIT=120 TORTURE_VANISHED=1 TORTURE_LOST=1 \
	$(if $(SEED),TORTURE_SEED=$(SEED)) $(BIN)/pytest -s --durations=0 --durations-min=1 tests/torture tests/model \
	tests/faults tests/sendmail/test_no_loops.py
	LISTEN_FUZZ=$(FUZZ) SENDMAIL_FUZZ=$(FUZZ) SENDMAIL_QUICK=$(FUZZ) $(if $(SEED),LISTEN_FUZZ_SEED=$(SEED) SENDMAIL_FUZZ_SEED=$(SEED)) \
	$(PYTEST) --durations=0 --durations-min=1 tests/listen/test_fuzz.py tests/sendmail/test_fuzz.py tests/sendmail/test_quick.py
	@$(MAKE) mutation

# Whole runs in one thread, on a played network, clock and disk; make test plays 500 seeds.  A seed that failed is played
# again, with its trace: make simulate SEED=7.  DATABASE=postgresql: several machines on a real server, whose sessions they
# lose; it takes some times as long
SEEDS ?= 5000
DATABASE ?= sqlite
simulate: $(VENV)/.dev
	$(BIN)/python -m tests.simulate --database $(DATABASE) $(if $(SEED),--seed $(SEED),--seeds $(SEEDS))

# Mutants of the rules; each makes a test fail or is explained in tests/mutation.  Those of the statements take longer:
# make mutation MUTATED=prx_email_cli/outbox/relational/sql.py
MUTATED ?= prx_email_cli/outbox/lifecycle.py prx_email_cli/delivery/schedule.py
mutation: $(VENV)/.dev
	$(BIN)/pip install --quiet --disable-pip-version-check 'cosmic-ray>=8.4,<9'
	$(BIN)/python -m tests.mutation $(MUTATED)

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# What is generated from the code; a test checks that it is current.
docs: $(VENV)/.dev
	$(BIN)/python -m prx_email_cli.submission.request > docs/request.schema.json
	$(BIN)/python -m prx_email_cli.cli.answers docs/schema
	$(BIN)/python -m tests.faults.document
	$(BIN)/python -m tests.config.document
	$(BIN)/python -m tests.manual
	$(BIN)/python -m tests.docs.picture
	$(BIN)/python -m tests.docs.pictures
	$(BIN)/python -m tests.nights.document

# Real mail servers, unpacked from Debian's packages into a cache and started on loopback ports; needs root.
interop: $(VENV)/.dev
	tests/interop/install.sh
	$(BIN)/pytest -m interop tests/interop

clean:
	rm -rf $(VENV)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.demo
