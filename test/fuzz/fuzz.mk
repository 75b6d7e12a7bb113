# fuzz.mk - the targets of test/fuzz, which README.md there explains. Part of the Makefile.
#
#   make check-fuzz            the corpus, and mutations of it, by any compiler: a lane of check
#   make fuzz SECONDS=600 [TARGETS='json checkpoint']    libFuzzer, clang's
#   make fuzz-merge            what it found into test/fuzz/corpus, as little as covers as much
#   make fuzz-coverage         which lines of the library the corpus reaches
FUZZTARGETS := $(shell sed -n 's/^TARGET(\(.*\))$$/\1/p' test/fuzz/targets.h)
FUZZSHARED  := $(addprefix $(BUILD)/test/fuzz/,fuzz.o models.o mutate_json.o mutate_file.o)
FUZZREPLAY  := $(FUZZTARGETS:%=$(BUILD)/test/fuzz/%.replay.o) $(BUILD)/test/fuzz/replay.o
FUZZCORPUS  := test/fuzz/corpus
FUZZC        = $(BASE) -Iinclude -Ilib -Itest/fuzz $(CPPFLAGS) $(CFLAGS) $(SANFLAGS)
FUZZLINK     = $(LINKC) $(LDFLAGS) $(1) $(OBJ) $(PRIVATE) $(TESTBLAS) -lm -ldl -pthread

$(BUILD)/test/fuzz/%.o: test/fuzz/%.c | $(AFTER)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(FUZZC) -c $< -o $@

# All targets in one program: each has its functions under names of its own.
$(BUILD)/test/fuzz/%.replay.o: test/fuzz/%.c test/fuzz/targets.h | $(AFTER)
	@mkdir -p $(@D)
	$(call say,CC,'$< (replay)')
	$(Q)$(CC) $(FUZZC) -DLLVMFuzzerTestOneInput=fuzz_$*_input -DLLVMFuzzerCustomMutator=fuzz_$*_mutate \
	    -c $< -o $@

$(BUILD)/test/fuzz/replay.o: test/fuzz/targets.h

$(BUILD)/test/fuzz/replay: $(FUZZREPLAY) $(FUZZSHARED) $(OBJ) $(BUILD)/cpu/private_blas.o
	$(call say,LD,$@)
	$(Q)$(CC) $(call FUZZLINK,$(FUZZREPLAY) $(FUZZSHARED)) -o $@

# Of each target 2,000 mutations, and of checkpoints 20,000.
check-fuzz: $(BUILD)/test/fuzz/replay
	$(Q)cd $(BUILD)/test/fuzz && ./replay --mutations 2000 $(CURDIR)/$(FUZZCORPUS)
	$(Q)cd $(BUILD)/test/fuzz && ./replay --mutations 20000 $(CURDIR)/$(FUZZCORPUS) checkpoint

# --- libFuzzer ----------------------------------------------------------------------------

# A build of its own, the library too. Comparisons are not recorded, which takes most of the time
# in a parser: the mutators know the words; nor what kernels and targets themselves do. A program is
# linked by FUZZLD with FUZZENGINE: with another fuzzer's driver, if not libFuzzer.
FUZZBUILD  ?= build/fuzz
FUZZENGINE ?= -fsanitize=fuzzer
FUZZLD     ?= $(CC)
FUZZSAN    ?= -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-coverage=trace-cmp \
              -fno-sanitize-recover=all -fno-omit-frame-pointer \
              -fsanitize-coverage-ignorelist=test/fuzz/unguided.txt
FUZZMAKE    = +$(Q)$(MAKE) --no-print-directory BUILD=$(1) CC=clang CFLAGS='-O2 -g' SAN= NVCC= SANFLAGS='$(2)'
SECONDS    ?= 600
TARGETS    ?= $(FUZZTARGETS)

# Objects, and not the archive, as elsewhere in the tests.
$(BUILD)/test/fuzz/fuzz-%: $(BUILD)/test/fuzz/%.o $(FUZZSHARED) $(OBJ) $(BUILD)/cpu/private_blas.o
	$(call say,LD,$@)
	$(Q)$(FUZZLD) $(FUZZENGINE) $(call FUZZLINK,$< $(FUZZSHARED)) -o $@

# The mutators ask for libFuzzer's, which a program without it has not.
$(BUILD)/test/fuzz/seeds: $(addprefix $(BUILD)/test/fuzz/,seeds.o fuzz.o models.o) $(OBJ) \
                          $(BUILD)/cpu/private_blas.o
	$(call say,LD,$@)
	$(Q)$(CC) $(call FUZZLINK,$(addprefix $(BUILD)/test/fuzz/,seeds.o fuzz.o models.o)) -o $@

fuzz-programs: $(FUZZTARGETS:%=$(BUILD)/test/fuzz/fuzz-%)

fuzz fuzz-merge:
	$(Q)sh test/fuzz/run.sh need clang
	$(call FUZZMAKE,$(FUZZBUILD),$(FUZZSAN)) $(TARGETS:%=$(FUZZBUILD)/test/fuzz/fuzz-%)
	$(Q)sh test/fuzz/run.sh $@ $(FUZZBUILD) $(SECONDS) $(TARGETS)

fuzz-coverage:
	$(Q)sh test/fuzz/run.sh need clang llvm-profdata llvm-cov
	$(call FUZZMAKE,build/fuzz-coverage,-fprofile-instr-generate -fcoverage-mapping) \
	    build/fuzz-coverage/test/fuzz/replay
	$(Q)sh test/fuzz/run.sh $@ build/fuzz-coverage 0 $(TARGETS)

-include $(FUZZREPLAY:.o=.d) $(FUZZSHARED:.o=.d) $(FUZZTARGETS:%=$(BUILD)/test/fuzz/%.d) $(BUILD)/test/fuzz/seeds.d

.PHONY: check-fuzz fuzz fuzz-programs fuzz-merge fuzz-coverage
