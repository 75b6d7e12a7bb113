# fuzz.mk - the targets of test/fuzz, which README.md there explains. Part of the Makefile.
#
#   make check-fuzz            the corpus, and mutations of it, by any compiler: a lane of check
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

-include $(FUZZREPLAY:.o=.d) $(FUZZSHARED:.o=.d)

.PHONY: check-fuzz
