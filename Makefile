# libalexnet - GNU make. Variables in capitals may be set by the caller; V=1 shows commands.
#
#   make deps demo     installs what is missing, builds, runs the main job on made-up data
#   make deps check    the same with all tests
#   make [all]         libalexnet.so, libalexnet.a, alexnet.pc, the example programs
#   make install       to DESTDIR, PREFIX, LIBDIR, INCLUDEDIR, BINDIR, MANDIR;  make uninstall
#   make bench         forward, backward, update: images a second
#   make bench-peers   the same beside PyTorch, ONNX Runtime and OpenVINO, as far as PYTHON has them
#   make check-lint    clang, cppcheck and, with LONG=1, clang-tidy; with WERROR=1 a warning is an error,
#                      the build's too
#   make check-long    what takes too long for check
#   make mutate        do the tests notice? MUTATE=200 mistakes, planted one at a time, in
#                      FILES='lib/*.c' (all); SEED=1 chooses which
#   make coverage      lines and branches that the tests reach, file by file
#   make fuzz          libFuzzer on all that is read, SECONDS=600 in all, TARGETS='json checkpoint'; with clang:
#                      test/fuzz/README.md, also for fuzz-merge and fuzz-coverage
#   make card-bundle   one archive with all that a machine with a card must be given
#   make card-report   what the kernels of a BF16 step cost by their machine code; needs nvcc, PYTHON and
#                      CUOBJDUMP, CUDA's or that of PyPI's triton; make store-card-report
#   sh test/gpu.sh     on a machine with a card: all that a card must be asked
#   make build/test/probes    what asks one, in seconds, each instruction alone
#   SAN=address,undefined or SAN=thread: a build of its own, with these sanitizers
.DELETE_ON_ERROR:
.SUFFIXES:

ver      = $(shell sed -n 's/^.define AN_VERSION_$(1) *//p' include/alexnet.h)
SOMAJOR := $(call ver,MAJOR)
VERSION := $(SOMAJOR).$(call ver,MINOR).$(call ver,PATCH)
SO      := libalexnet.so.$(VERSION)

PREFIX     ?= /usr/local
LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
BINDIR     ?= $(PREFIX)/bin
MANDIR     ?= $(PREFIX)/share/man
DESTDIR    ?=
PKG_CONFIG ?= pkg-config
INSTALL    ?= install
SAN        ?=
BUILD      ?= build$(if $(SAN),/san-$(firstword $(subst $(comma), ,$(SAN))))
V          ?= 0
comma      := ,
Q          := $(if $(filter 1,$(V)),,@)
say         = $(if $(Q),@printf '  %-7s %s\n' $(1) $(2))

# OpenBLAS: the threaded build's archive, private to libalexnet.so (cpu/private_blas.c), or
# with OPENBLAS=shared the system's shared one. These are read after `deps` has run.
OPENBLAS    ?= $(if $(OPENBLAS_A),private,shared)
OPENBLAS_A  ?= $(firstword $(wildcard \
                 /usr/lib/$(shell $(CC) -print-multiarch)/openblas-pthread/libopenblas.a))
WRAPPED     := getenv exit raise puts fputs fwrite printf fprintf __printf_chk \
               __fprintf_chk perror __assert_fail __register_atfork pthread_atfork \
               pthread_mutex_lock munmap blas_thread_shutdown_ gotoblas_dynamic_quit
BLAS_CFLAGS  = $(shell $(PKG_CONFIG) --cflags openblas)
BLAS_PRIVATE = $(OPENBLAS_A) $(WRAPPED:%=-Wl,--wrap=%)
BLAS_SHARED  = $(shell $(PKG_CONFIG) --libs openblas)
BLAS_LIBS    = $(if $(filter shared,$(OPENBLAS)),$(BLAS_SHARED),$(BLAS_PRIVATE))

# The user's CFLAGS come last. -Ofast and its like would, on a link line, switch the host's
# floating-point unit to another mode when the library is loaded.
CFLAGS  ?= -O3 -g
WARN    ?= -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla \
           -Wconversion
SANFLAGS = $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer)
BASE     = -std=c99 $(WARN) $(if $(WERROR),-Werror) -ffile-prefix-map=$(CURDIR)=. -MMD -MP
PLUGINS  = -DAN_PLUGIN_DIR='"$(LIBDIR)/alexnet"'
LIBC     = $(BASE) -Iinclude -Ilib -fPIC -fvisibility=hidden -fno-math-errno \
           $(BLAS_CFLAGS) $(CPPFLAGS) $(CFLAGS) $(SANFLAGS)
LINKC    = $(filter-out -Ofast -ffast-math -funsafe-math-optimizations,$(CFLAGS)) $(SANFLAGS)
LIBS     = $(BLAS_LIBS) -lm -ldl -pthread

# cpu/vector, once for each set of instructions that an x86-64 may have.
ISAS         := $(if $(filter x86_64%,$(shell $(CC) -dumpmachine)),avx2 avx512)
FLAGS_avx2   := -mavx2 -mfma
FLAGS_avx512 := $(FLAGS_avx2) -mavx512f -mavx512vl -mavx512bw -mavx512dq \
                -mprefer-vector-width=512
VECTOR       := $(notdir $(basename $(sort $(wildcard cpu/vector/*.c))))

OBJ     := $(patsubst %.c,$(BUILD)/%.o,$(filter-out cpu/private_blas.c,\
             $(sort $(wildcard lib/*/*.c cpu/*.c)))) \
           $(foreach isa,$(ISAS),$(VECTOR:%=$(BUILD)/cpu/$(isa)/%.o))
PRIVATE  = $(if $(filter shared,$(OPENBLAS)),,$(BUILD)/cpu/private_blas.o)
EXNAMES := $(patsubst examples/%.c,%,$(sort $(wildcard examples/*.c)))
EXCOMMON:= $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard examples/common/*.c)))
EXARCHIVE = $(BUILD)/examples/common.a
TESTROOMS := support base operations network engine model data train checkpoint cuda api
TESTS   := $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard $(TESTROOMS:%=test/%/*.c))) test/main.c)

# What `make deps` wants on Debian. Everything waits for it where both are asked for.
PACKAGES := gcc g++ make pkg-config libopenblas-dev libopenblas-pthread-dev libjansson-dev \
            libxxhash-dev libstb-dev libcairo2-dev check cmake abigail-tools
LINTERS  := clang clang-format clang-tidy cppcheck
AFTER    := $(if $(filter deps,$(MAKECMDGOALS)),deps)

# The CUDA plugin is built wherever nvcc is (NVCC= or NVCC=: nowhere); no build needs a GPU.
NVCC    ?= $(firstword $(shell command -v nvcc) $(wildcard /usr/local/cuda/bin/nvcc))
CUDASRC := $(sort $(wildcard cuda/*/*.cu))
ifeq ($(NVCC),:)
override NVCC :=
endif
PLUGIN  := $(if $(SAN),,$(if $(NVCC),$(BUILD)/alexnet-cuda.so))

all: $(BUILD)/$(SO) $(BUILD)/libalexnet.a $(BUILD)/alexnet.pc $(EXNAMES:%=$(BUILD)/examples/%) \
     $(PLUGIN)

deps:
	@sh test/deps.sh $(PACKAGES) $(if $(filter check-lint,$(MAKECMDGOALS)),$(LINTERS))

$(BUILD)/lib/%.o: lib/%.c | $(AFTER)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(LIBC) $(if $(filter %/plugin.c,$<),$(PLUGINS)) -c $< -o $@

# Where the plugin will be may differ from the last time.
$(BUILD)/lib/device/plugin.o: $(BUILD)/plugin-dir
$(BUILD)/plugin-dir: FORCE
	@mkdir -p $(@D)
	@echo '$(LIBDIR)' | cmp -s - $@ || echo '$(LIBDIR)' > $@

$(BUILD)/cpu/%.o: cpu/%.c | $(AFTER)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(LIBC) $(if $(ISAS),$(if $(filter %/path.c,$<),-DAN_VECTOR_PATHS)) -c $< -o $@

# What a source file is compiled with must not reach beyond it: these share no inline function
# with the rest, and are entered through their tables alone.
define vector_rule
$(BUILD)/cpu/$(1)/%.o: cpu/vector/%.c | $(AFTER)
	@mkdir -p $$(@D)
	$$(call say,CC,'$$< ($(1))')
	$$(Q)$$(CC) $$(LIBC) -DAN_ISA=$(1) $$(FLAGS_$(1)) -c $$< -o $$@
endef
$(foreach isa,$(ISAS),$(eval $(call vector_rule,$(isa))))

$(BUILD)/$(SO): $(OBJ) $(BUILD)/cpu/private_blas.o lib/alexnet.map
	$(call say,LD,$@)
	$(Q)$(CC) $(LINKC) $(LDFLAGS) -shared -Wl,-soname,libalexnet.so.$(SOMAJOR) \
	    -Wl,--version-script=lib/alexnet.map -Wl,--no-undefined-version \
	    $(if $(SAN),,-Wl$(comma)-z$(comma)defs) -Wl,-z,now,-z,relro,-z,noexecstack \
	    -Wl,--exclude-libs,ALL $(OBJ) $(PRIVATE) $(LIBS) -o $@
	$(Q)ln -sf $(SO) $(BUILD)/libalexnet.so.$(SOMAJOR)
	$(Q)ln -sf $(SO) $(BUILD)/libalexnet.so

$(BUILD)/libalexnet.a: $(OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcsD $@ $(OBJ)

# PREFIX may differ from the last time.
fill = sed -e 's|@PREFIX@|$(PREFIX)|g' -e 's|@VERSION@|$(VERSION)|g' \
    -e 's|@MAJOR@|$(SOMAJOR)|g' \
    -e 's|@LIBDIR@|$(patsubst $(PREFIX)/%,$${prefix}/%,$(LIBDIR))|g' \
    -e 's|@INCLUDEDIR@|$(patsubst $(PREFIX)/%,$${prefix}/%,$(INCLUDEDIR))|g' \
    -e 's|@ABSLIBDIR@|$(LIBDIR)|g' -e 's|@ABSINCLUDEDIR@|$(INCLUDEDIR)|g'

$(BUILD)/alexnet.pc: pkgconfig/alexnet.pc.in include/alexnet.h FORCE
	@mkdir -p $(@D)
	$(Q)$(fill) $< > $@

$(BUILD)/%.cmake: pkgconfig/%.cmake.in include/alexnet.h FORCE
	@mkdir -p $(@D)
	$(Q)$(fill) $< > $@

# --- the CUDA plugin ----------------------------------------------------------------------

# Machine code for A100's and H100's families, and PTX for whatever else. What ptxas says of
# each kernel is kept: registers that do not suffice are an error, and wgmma that waits is.
NVFLAGS ?= -O3
NVARCH  := -gencode arch=compute_80,code=[sm_80,compute_80] \
           -gencode arch=compute_90a,code=sm_90a
NVCCC    = $(NVCC) -std=c++17 -Iinclude -Ilib -Icuda $(NVARCH) $(NVFLAGS) -Xptxas -v \
           -Xcompiler -fPIC,-fvisibility=hidden,-fno-exceptions,-ffile-prefix-map=$(CURDIR)=.

$(BUILD)/cuda/%.o: cuda/%.cu | $(AFTER)
	@mkdir -p $(@D)
	$(call say,NVCC,$<)
	$(Q)$(NVCCC) -MMD -MP -MT $@ -MF $(@:.o=.d) -c $< -o $@ 2> $(@:.o=.ptxas) || \
	    { cat $(@:.o=.ptxas); exit 1; }
	$(Q)! grep spill $(@:.o=.ptxas) | grep -v ' 0 bytes spill stores, 0 bytes spill loads' \
	    || { echo "$<: a kernel spills"; rm -f $@; exit 1; }
	$(Q)! grep serialized $(@:.o=.ptxas) || { rm -f $@; exit 1; }

$(BUILD)/alexnet-cuda.so: $(CUDASRC:%.cu=$(BUILD)/%.o) cuda/plugin.map
	$(call say,LD,$@)
	$(Q)$(NVCC) -shared -cudart static $(NVARCH) $(filter %.o,$^) \
	    -Xlinker --version-script=cuda/plugin.map -Xlinker -z -Xlinker now \
	    -Xlinker -z -Xlinker relro -o $@

# --- example programs: the public header alone ------------------------------------------

EXC    = $(BASE) -Iinclude $(shell $(PKG_CONFIG) --cflags cairo) $(CPPFLAGS) $(CFLAGS) \
         $(SANFLAGS)
# Cairo for those alone that draw.
EXLIBS = -Wl,--as-needed $(shell $(PKG_CONFIG) --libs cairo) -Wl,--no-as-needed -lm -pthread

$(EXARCHIVE): $(filter-out %/no_canvas.o,$(EXCOMMON))
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcsD $@ $^

$(BUILD)/examples/%.o: examples/%.c | $(AFTER)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(EXC) -c $< -o $@

$(BUILD)/examples/%: $(BUILD)/examples/%.o $(EXARCHIVE) $(BUILD)/$(SO)
	$(call say,LD,$@)
	$(Q)$(CC) $(LINKC) $< $(EXARCHIVE) $(LDFLAGS) -L$(BUILD) -lalexnet $(EXLIBS) \
	    -Wl,-rpath,'$$ORIGIN/..' -o $@

# For installing: the same with the way from BINDIR to LIBDIR, so that they run from any prefix. A
# packager, whose LIBDIR the loader knows, sets RPATH to nothing.
RPATH ?= $$ORIGIN/$(shell realpath -m --relative-to='$(BINDIR)' '$(LIBDIR)')
$(BUILD)/bin/rpath: FORCE
	@mkdir -p $(@D)
	@echo '$(RPATH)' | cmp -s - $@ || echo '$(RPATH)' > $@

$(BUILD)/bin/alexnet-%: $(BUILD)/examples/%.o $(EXARCHIVE) $(BUILD)/$(SO) $(BUILD)/bin/rpath
	$(call say,LD,$@)
	$(Q)$(CC) $(LINKC) $< $(EXARCHIVE) $(LDFLAGS) -L$(BUILD) -lalexnet $(EXLIBS) \
	    $(if $(RPATH),-Wl$(comma)-rpath$(comma)'$(RPATH)') -o $@

# Their manual pages, of what --help says.
$(BUILD)/man/alexnet-%.1: examples/man.sh $(BUILD)/examples/%
	@mkdir -p $(@D)
	$(Q)sh examples/man.sh $(BUILD)/examples/$* examples/$*.c $(VERSION) > $@

.SECONDARY:

# --- install -----------------------------------------------------------------------------

CMAKEDIR = $(LIBDIR)/cmake/alexnet

install: all $(EXNAMES:%=$(BUILD)/bin/alexnet-%) $(EXNAMES:%=$(BUILD)/man/alexnet-%.1) \
         $(BUILD)/alexnet-config.cmake $(BUILD)/alexnet-config-version.cmake
	$(Q)$(INSTALL) -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(INCLUDEDIR) \
	    $(DESTDIR)$(BINDIR) $(DESTDIR)$(CMAKEDIR) $(DESTDIR)$(MANDIR)/man1
	$(Q)$(INSTALL) -m 644 include/alexnet.h $(DESTDIR)$(INCLUDEDIR)/
	$(Q)$(INSTALL) -m 644 $(BUILD)/libalexnet.a $(BUILD)/$(SO) $(DESTDIR)$(LIBDIR)/
	$(Q)ln -sf $(SO) $(DESTDIR)$(LIBDIR)/libalexnet.so.$(SOMAJOR)
	$(Q)ln -sf libalexnet.so.$(SOMAJOR) $(DESTDIR)$(LIBDIR)/libalexnet.so
	$(Q)$(INSTALL) -m 644 $(BUILD)/alexnet.pc $(DESTDIR)$(LIBDIR)/pkgconfig/
	$(Q)$(INSTALL) -m 644 $(BUILD)/alexnet-config.cmake \
	    $(BUILD)/alexnet-config-version.cmake $(DESTDIR)$(CMAKEDIR)/
	$(Q)$(INSTALL) -m 755 $(EXNAMES:%=$(BUILD)/bin/alexnet-%) $(DESTDIR)$(BINDIR)/
	$(Q)$(INSTALL) -m 644 $(EXNAMES:%=$(BUILD)/man/alexnet-%.1) $(DESTDIR)$(MANDIR)/man1/
	$(if $(PLUGIN),$(Q)$(INSTALL) -d $(DESTDIR)$(LIBDIR)/alexnet && \
	    $(INSTALL) -m 755 $(PLUGIN) $(DESTDIR)$(LIBDIR)/alexnet/)
	$(Q)if test -z "$(DESTDIR)" && test "$$(id -u)" = 0; then ldconfig 2>/dev/null || :; fi
	@echo "installed $(VERSION) to $(DESTDIR)$(PREFIX)"

uninstall:
	$(Q)rm -f $(DESTDIR)$(INCLUDEDIR)/alexnet.h $(DESTDIR)$(LIBDIR)/libalexnet.a \
	    $(DESTDIR)$(LIBDIR)/$(SO) $(DESTDIR)$(LIBDIR)/libalexnet.so.$(SOMAJOR) \
	    $(DESTDIR)$(LIBDIR)/libalexnet.so $(DESTDIR)$(LIBDIR)/pkgconfig/alexnet.pc \
	    $(DESTDIR)$(CMAKEDIR)/alexnet-config.cmake \
	    $(DESTDIR)$(CMAKEDIR)/alexnet-config-version.cmake \
	    $(EXNAMES:%=$(DESTDIR)$(BINDIR)/alexnet-%) $(EXNAMES:%=$(DESTDIR)$(MANDIR)/man1/alexnet-%.1) \
	    $(DESTDIR)$(LIBDIR)/alexnet/alexnet-cuda.so
	$(Q)rmdir $(DESTDIR)$(CMAKEDIR) $(DESTDIR)$(LIBDIR)/alexnet 2>/dev/null || true

# --- the host run: the plugin's sources on a double of the CUDA runtime (test/cuda-host) ----

CXXFLAGS ?= -O3 -g
HOSTRUN   = -std=c++17 -Wall -Wextra -Wno-unknown-pragmas -Wno-missing-field-initializers -Wno-psabi \
            -Iinclude -Ilib -Icuda -Itest/cuda-host -fPIC -ffile-prefix-map=$(CURDIR)=. -MMD -MP $(CXXFLAGS) $(SANFLAGS)
HOSTOBJ  := $(CUDASRC:cuda/%.cu=$(BUILD)/cuda-host/%.o) \
            $(patsubst test/cuda-host/%.cc,$(BUILD)/cuda-host/%.o,$(wildcard test/cuda-host/*.cc))

$(BUILD)/cuda-host/%.o: cuda/%.cu | $(AFTER)
	@mkdir -p $(@D)
	$(call say,CXX,$<)
	$(Q)$(CXX) -x c++ $(HOSTRUN) -c $< -o $@

$(BUILD)/cuda-host/%.o: test/cuda-host/%.cc | $(AFTER)
	@mkdir -p $(@D)
	$(call say,CXX,$<)
	$(Q)$(CXX) $(HOSTRUN) -c $< -o $@

$(BUILD)/test/alexnet-cuda-host.so: $(HOSTOBJ)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CXX) $(SANFLAGS) -shared $^ -pthread -o $@

# --- the minimal backend, a plugin of the tests (test/backend-minimal) ---------------------

$(BUILD)/test/alexnet-minimal.so: test/backend-minimal/minimal.c | $(AFTER)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(BASE) -Iinclude -Ilib -fPIC -fvisibility=hidden $(CPPFLAGS) $(CFLAGS) \
	    $(SANFLAGS) -MF $(BUILD)/test/alexnet-minimal.d -MT $@ -shared $< -lm -o $@

# --- what a machine with a card is given (docs/CUDA.md) -----------------------------------

# Programs that need nothing but the C library and C++'s there, stripped, and no cairo: one
# archive, in which test/gpu.sh is the one call. What the tests need beside is linked statically.
# The plugin and the probes are compiled here, so that no time is spent on it there.
CARD      = $(BUILD)/card/alexnet-card
CARDEX   := bench train prepare evaluate classify info shapes
CARDFILES = $(CARD)/libalexnet.so.$(SOMAJOR) $(CARD)/alexnet-cuda.so \
            $(CARD)/test/check $(CARD)/test/probes $(CARD)/test/probes-host \
            $(CARD)/test/alexnet-cuda-host.so $(CARD)/test/alexnet-minimal.so \
            $(CARDEX:%=$(CARD)/examples/%)
static    = -Wl,-Bstatic $(1) -Wl,-Bdynamic

$(CARD)/libalexnet.so.$(SOMAJOR): $(OBJ) $(BUILD)/cpu/private_blas.o lib/alexnet.map
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LINKC) $(LDFLAGS) -s -shared -Wl,-soname,libalexnet.so.$(SOMAJOR) \
	    -Wl,--version-script=lib/alexnet.map -Wl,-z,defs -Wl,-z,now -Wl,--exclude-libs,ALL \
	    $(OBJ) $(PRIVATE) $(LIBS) -o $@

$(BUILD)/card/common.a: $(filter-out %/canvas.o,$(EXCOMMON)) $(BUILD)/examples/common/no_canvas.o
	@mkdir -p $(@D)
	$(Q)rm -f $@ && $(AR) rcsD $@ $^

$(CARD)/examples/%: $(BUILD)/examples/%.o $(BUILD)/card/common.a $(CARD)/libalexnet.so.$(SOMAJOR)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LINKC) -s $^ $(LDFLAGS) -lm -pthread -Wl,-rpath,'$$ORIGIN/..' -o $@

$(CARD)/test/check: $(TESTS) $(OBJ) $(BUILD)/cpu/private_blas.o
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LINKC) -s $(LDFLAGS) $(TESTS) $(OBJ) $(PRIVATE) $(TESTBLAS) \
	    $(call static,-ljansson $(filter-out -pthread -lm -lrt,$(CHECK_LIBS))) -lrt -lm -ldl -pthread -o $@

$(CARD)/alexnet-cuda.so: $(PLUGIN)
	@mkdir -p $(@D)
	$(Q)strip -o $@ $<

$(CARD)/test/probes $(CARD)/test/probes-host: $(CARD)/test/%: $(BUILD)/test/%
	@mkdir -p $(@D)
	$(Q)strip -o $@ $<

$(CARD)/test/alexnet-cuda-host.so $(CARD)/test/alexnet-minimal.so: $(CARD)/test/%: $(BUILD)/test/%
	@mkdir -p $(@D)
	$(Q)strip -o $@ $<

card-bundle: $(CARDFILES)
	$(Q)test -n "$(PLUGIN)" || { echo "card-bundle: there is no nvcc, so no plugin"; exit 1; }
	$(Q)cp test/gpu.sh test/gpu_training.sh test/bench_card.py test/cuda_examples.sh $(CARD)/test/
	$(Q)tar -C $(BUILD)/card -cf - alexnet-card | gzip -9n > $(BUILD)/alexnet-card.tar.gz
	@ls -l $(BUILD)/alexnet-card.tar.gz
	$(Q)test $$(stat -c %s $(BUILD)/alexnet-card.tar.gz) -le 33554432 || \
	    { echo "card-bundle: more than 32 MiB"; exit 1; }

# --- tests -------------------------------------------------------------------------------

CHECK_CFLAGS = $(shell $(PKG_CONFIG) --cflags check)
CHECK_LIBS   = $(shell $(PKG_CONFIG) --libs check)
# Shapes have fields for backends that most tests leave 0.
TESTC        = $(BASE) -Wno-missing-field-initializers -Iinclude -Ilib -Itest/support -Itest \
               $(CHECK_CFLAGS) $(CPPFLAGS) $(CFLAGS) $(SANFLAGS)

$(BUILD)/test/%.o: test/%.c | $(AFTER)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(TESTC) -c $< -o $@

# The suites reach into the library, so they link its objects, with the same OpenBLAS; of
# the wrapped calls only those without which it would not work the same, as tests may print.
TESTBLAS = $(if $(filter shared,$(OPENBLAS)),$(BLAS_SHARED),$(OPENBLAS_A) \
             -Wl,--wrap=getenv,--wrap=pthread_mutex_lock,--wrap=munmap \
             -Wl,--wrap=blas_thread_shutdown_,--wrap=gotoblas_dynamic_quit \
             -Wl,--wrap=pthread_atfork,--wrap=__register_atfork)

$(BUILD)/test/check: $(TESTS) $(OBJ) $(BUILD)/cpu/private_blas.o \
                     $(BUILD)/test/alexnet-cuda-host.so $(BUILD)/test/alexnet-minimal.so
	$(call say,LD,$@)
	$(Q)$(CC) $(LINKC) $(LDFLAGS) $(TESTS) $(OBJ) $(PRIVATE) $(TESTBLAS) \
	    $(shell $(PKG_CONFIG) --libs jansson) $(CHECK_LIBS) -lm -ldl -pthread -o $@

# The example programs as a user runs them; beside the library, their own parts are linked.
PROGRAMTESTS := $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard test/programs/*.c)) \
                  test/support/choose.c test/support/expect.c test/support/scratch.c)

$(BUILD)/test/programs/%.o: test/programs/%.c | $(AFTER)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(BASE) -Iinclude -Iexamples -Itest/support -Itest $(CHECK_CFLAGS) $(CPPFLAGS) $(CFLAGS) \
	    $(SANFLAGS) -c $< -o $@

$(BUILD)/test/programs/check: $(PROGRAMTESTS) $(EXARCHIVE) $(BUILD)/$(SO)
	$(call say,LD,$@)
	$(Q)$(CC) $(LINKC) $(PROGRAMTESTS) $(EXARCHIVE) $(LDFLAGS) -L$(BUILD) -lalexnet \
	    $(CHECK_LIBS) $(EXLIBS) -Wl,-rpath,'$$ORIGIN/../..' -o $@

# Programs of their own: a host beside whose OpenBLAS ours lives, and loading alone.
$(BUILD)/test/host: test/embedding/host.c $(BUILD)/$(SO)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) -Iinclude -Itest/support $(CFLAGS) $(SANFLAGS) $< -L$(BUILD) -lalexnet \
	    $(BLAS_SHARED) -pthread -Wl,-rpath,'$$ORIGIN/..' -o $@

$(BUILD)/test/host_load: test/embedding/host_load.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) -Itest/support $(CFLAGS) $(SANFLAGS) $< -ldl -o $@

$(BUILD)/test/host_leave: test/embedding/host_leave.c $(BUILD)/$(SO)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BASE) -Iinclude $(CFLAGS) $(SANFLAGS) $< -L$(BUILD) -lalexnet -ldl -pthread \
	    -Wl,-rpath,'$$ORIGIN/..' -o $@

# Where OpenBLAS is the system's, its end is not ours to see to.
check-host: $(BUILD)/test/host $(BUILD)/test/host_load $(BUILD)/test/host_leave
	$(Q)OPENBLAS_NUM_THREADS=4 OPENBLAS_VERBOSE=2 $(BUILD)/test/host_load \
	    $(CURDIR)/$(BUILD)/$(SO) > $(BUILD)/test/host.out
	$(Q)$(BUILD)/test/host >> $(BUILD)/test/host.out
	$(Q)test ! -s $(BUILD)/test/host.out
	$(Q)$(if $(SAN)$(filter shared,$(OPENBLAS)),:,for path in 1 2 3; do \
	    for after in 41 43 47 53 59 61 67 71 73 79 83 89 97 101 103 107 109 113 127 131; do \
	        $(BUILD)/test/host_leave $${after}000 $$path || exit 1; done; done)
	$(Q)$(if $(SAN)$(filter shared,$(OPENBLAS)),:,cp $(BUILD)/$(SO) $(BUILD)/test/closed.so && \
	    $(BUILD)/test/host_leave load $(CURDIR)/$(BUILD)/test/closed.so)
	@echo "  check-host: ok"

check-headers:
	$(Q)for s in c99 c11 c17; do $(CC) -x c -std=$$s -Wall -Wextra -Wpedantic -Werror \
	    -fsyntax-only include/alexnet.h || exit 1; done
	$(Q)for s in c++98 c++11 c++17; do $(CXX) -x c++ -std=$$s -Wall -Wextra -Wpedantic \
	    -Werror -fsyntax-only include/alexnet.h || exit 1; done
	@echo "  check-headers: ok"

check-format:
	$(Q)sh test/format.sh
	@echo "  check-format: ok"

# Another compiler and static checkers; not of check, for which they are slow.
check-lint: | $(AFTER)
	$(Q)WERROR=$(WERROR) LONG=$(LONG) WARN="$(WARN)" sh test/lint.sh

# Includes run one way, and the script notices one that does not.
check-layers:
	$(Q)sh test/layers.sh
	$(Q)rm -rf $(BUILD)/layers && mkdir -p $(BUILD)/layers && cp -r lib cpu cuda $(BUILD)/layers
	$(Q)echo '#include "model/model.h"' >> $(BUILD)/layers/lib/engine/run.c
	$(Q)! sh test/layers.sh $(BUILD)/layers 2>/dev/null
	@echo "  check-layers: ok"

# Header, map and library name the same functions; the archive defines an_* alone; nobody
# calls what ends, prints or changes a process. A stack that can run code is refused.
FORBIDDEN := exit|_exit|_Exit|abort|quick_exit|printf|__printf_chk|fprintf|__fprintf_chk|\
vprintf|vfprintf|puts|putchar|fputs|fputc|fwrite|perror|setlocale|signal|sigaction|raise|kill|\
system|putenv|setenv|unsetenv|srand|rand|random|strtok|chdir|umask|__assert_fail

check-symbols: $(BUILD)/$(SO) $(BUILD)/libalexnet.a
	$(Q)! awk '/^an_status an_[a-z0-9]/ { public = $$0 } \
	    /^{/ && public { getline; if (!/AN_ENTER;/) print FILENAME ": " public ": no AN_ENTER"; \
	    public = "" }' lib/*/*.c | grep .
	$(Q)sed -n 's/^ *\(an_[a-z0-9_]*\);/\1/p' lib/alexnet.map | sort > $(BUILD)/map.txt
	$(Q)$(CC) -E -P include/alexnet.h | tr '\n' ' ' | tr ';' '\n' | grep visibility | \
	    grep -o '\ban_[a-z0-9_]*(' | tr -d '(' | sort -u | diff - $(BUILD)/map.txt
	$(Q)nm -D --defined-only $(BUILD)/$(SO) | awk '$$2 != "A" { sub(/@.*/, "", $$3); print $$3 }' \
	    | sort | diff - $(BUILD)/map.txt
	$(Q)! nm --defined-only -g $(BUILD)/libalexnet.a | awk 'NF == 3 { print $$3 }' | grep -v '^an_'
	$(Q)! nm -u $(BUILD)/libalexnet.a | grep -wE 'U ($(FORBIDDEN)|stdout|stderr)'
	$(Q)$(if $(filter shared,$(OPENBLAS)),:,! nm -D -u $(BUILD)/$(SO) | sed 's/@.*//' | \
	    grep -wE 'U ($(FORBIDDEN))')
	$(Q)readelf -lW $(BUILD)/$(SO) | grep -q 'GNU_STACK.*RW '
	@echo "  check-symbols: ok"

# Each release's ABI is kept for ever; the one that is being made may be stored anew until it is
# tagged.
ABIFILE := test/abi/$(SOMAJOR).$(call ver,MINOR)-$(shell uname -m).abi
check-abi: $(BUILD)/$(SO)
	$(Q)sh test/abi.sh $<

store-abi: $(BUILD)/$(SO)
	$(Q)if git rev-parse -q --verify v$(VERSION) >/dev/null; then \
	    echo "store-abi: $(VERSION) is released: its ABI stays"; exit 1; fi
	$(Q)mkdir -p $(dir $(ABIFILE))
	$(Q)abidw --headers-dir include --drop-private-types --no-show-locs --no-corpus-path \
	    --no-comp-dir-path --exported-interfaces-only --out-file $(ABIFILE) $<

check-install: all
	$(Q)CC="$(CC)" CXX="$(CXX)" MAKE="$(MAKE)" BLAS_CFLAGS="$(BLAS_CFLAGS)" PLUGIN="$(PLUGIN)" \
	    sh test/install/run.sh

# Two folders, the same bits.
check-reproducible:
	$(Q)CC="$(CC)" MAKE="$(MAKE)" sh test/reproducible.sh

# Each of the scripts can be run alone: sh test/examples/prepare.sh build.
EXSCRIPTS := $(filter-out %/common.sh,$(sort $(wildcard test/examples/*.sh)))
check-examples: all $(BUILD)/test/programs/check
	$(Q)for script in $(EXSCRIPTS); do sh $$script $(BUILD) || exit 1; done
	$(Q)AN_PROGRAMS=$(abspath $(BUILD))/examples $(BUILD)/test/programs/check

# One symbol, nothing of NVIDIA's to be loaded with it; without a driver, no device.
check-plugin: all
ifeq ($(PLUGIN),)
	@echo "  check-plugin: left out, there is no nvcc: the plugin is not built"
else
	$(Q)test "$$(nm -D --defined-only $(PLUGIN) | cut -d' ' -f3)" = an_plugin_backend
	$(Q)! readelf -d $(PLUGIN) | grep -E 'NEEDED.*(cuda|nv)'
	$(Q)ALEXNET_PLUGIN=$(abspath $(PLUGIN)) $(BUILD)/examples/info --device cuda:0 \
	    > $(BUILD)/test/plugin.out 2>&1 || grep -q 'but cuda has 0' $(BUILD)/test/plugin.out
	@echo "  check-plugin: ok"
endif

# The examples on the host run; mistakes planted in the kernels, which tests must see.
check-cuda-examples: all $(BUILD)/test/alexnet-cuda-host.so
	$(Q)sh test/cuda_examples.sh $(BUILD) $(BUILD)/test/alexnet-cuda-host.so

# The probes of test/card: for a card, and on the host run, where each must pass and mistakes
# planted in what it asks must turn it red.
PROBES := $(wildcard test/card/*.h test/card/*.cuh)
$(BUILD)/test/probes: test/card/probes.cu $(PROBES) $(wildcard cuda/*/*.h cuda/*/*.cuh)
	@mkdir -p $(@D)
	$(call say,NVCC,$<)
	$(Q)$(or $(NVCC),nvcc) -t 0 -std=c++17 -O1 -Iinclude -Ilib -Icuda -Itest/card $(NVARCH) -o $@ $<

$(BUILD)/test/probes-host.o: test/card/probes.cu
	@mkdir -p $(@D)
	$(call say,CXX,$<)
	$(Q)$(CXX) -x c++ $(HOSTRUN) -O1 -Itest/card -c $< -o $@

$(BUILD)/test/probes-host: $(BUILD)/test/probes-host.o $(filter-out \
                           $(CUDASRC:cuda/%.cu=$(BUILD)/cuda-host/%.o),$(HOSTOBJ))
	$(call say,LD,$@)
	$(Q)$(CXX) $(SANFLAGS) $^ -pthread -o $@

# Main loops, tiles and a model of a whole step, without a card. Main loops that have grown by more
# than 5 % are an error; store-card-report says how long they may be from now on.
CUOBJDUMP ?= $(firstword $(shell command -v cuobjdump) $(wildcard /usr/local/cuda/bin/cuobjdump))
RECORD    ?= docs/card/2026-11-27-h200-evening.txt

$(BUILD)/test/account: test/card/account.cc test/cuda-host/control.h $(wildcard cuda/*/*.h cuda/*/*.cuh) \
                       $(BUILD)/$(SO)
	@mkdir -p $(@D)
	$(call say,CXX,$<)
	$(Q)$(CXX) $(HOSTRUN) $< -L$(BUILD) -lalexnet -Wl,-rpath,'$$ORIGIN/..' -ldl -o $@

card-report store-card-report: $(BUILD)/test/account $(BUILD)/test/alexnet-cuda-host.so $(PLUGIN)
	$(Q)test -n "$(PLUGIN)" || { echo "$@: there is no nvcc, so no plugin"; exit 1; }
	$(Q)test -n "$(CUOBJDUMP)" || { echo "$@: there is no cuobjdump: CUOBJDUMP=..., CUDA's or that of PyPI's triton"; \
	    exit 1; }
	$(Q)$(PYTHON) test/card/report.py $(BUILD) $(CUOBJDUMP) --measured $(RECORD) --loops test/card/loops.txt \
	    $(if $(filter store-%,$@),--store "$$($(NVCC) --version | sed -n 's/.*release \([0-9.]*\).*/nvcc \1/p')")

check-probes: $(BUILD)/test/probes-host
	$(Q)$< > $(BUILD)/test/probes.out || { grep FAIL $(BUILD)/test/probes.out; exit 1; }
	$(Q)sh test/card/faults.sh $(BUILD) $(CXX) -std=c++17 -w

check-faults: $(BUILD)/test/check
	$(Q)$(SANENV) HOSTOBJ="$(abspath $(HOSTOBJ))" sh test/cuda-host/faults.sh $(BUILD) "$(SAN)" $(CXX) -std=c++17 -fPIC -w \
	    $(SANFLAGS)

# Tests fork with threads running, and the children start threads of their own.
SANENV = $(if $(filter thread,$(SAN)),TSAN_OPTIONS=die_after_fork=0)

# Two at a time, or as many as JOBS says, each printed when it is done; those that take long first.
# check-install makes the library anew for other prefixes, which nobody else may use meanwhile.
JOBS  ?= 2
GATES  = check-examples check-cuda-examples check-probes check-format check-layers check-plugin \
         check-abi check-host check-symbols check-headers
LANES := cuda ops steps plugin
CHECKS = $(LANES:%=check-suite-%) check-faults check-suites $(if $(SAN),,$(GATES)) check-fuzz
RUN    = +$(Q)$(MAKE) --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(JOBS))

check:
	$(RUN) $(if $(SAN),,all $(BUILD)/test/programs/check $(BUILD)/test/probes-host) $(BUILD)/test/check \
	    $(BUILD)/test/fuzz/replay
	$(if $(SAN),,+$(Q)$(MAKE) --no-print-directory check-install)
	$(RUN) --output-sync $(CHECKS)

# A suite by itself, and all that have no lane of their own.
check-suite-%: $(BUILD)/test/check
	$(Q)$(SANENV) CK_RUN_SUITE=$* $<

check-suites: $(BUILD)/test/check
	$(Q)$(SANENV) $< --without $(LANES)

check-long: check check-reproducible $(if $(NVCC),$(BUILD)/test/probes)
	$(Q)$(BUILD)/test/fuzz/replay --mutations 2000000 test/fuzz/corpus checkpoint
	$(Q)AN_LONG=1 CK_RUN_SUITE=checkpoint $(BUILD)/test/check
	$(Q)sh test/kills.sh $(BUILD)
	$(Q)AN_LONG=1 CK_RUN_CASE="full size" $(BUILD)/test/check
	$(Q)AN_LONG=1 $(MAKE) check-faults
	$(Q)if command -v python3 >/dev/null; then $(MAKE) mutate MUTATE=40; \
	else echo "not run: make mutate, which wants python3"; fi

# Needs python3 and gcov, and copies of the tree in build/mutate (test/mutate/mutate.py).
MUTATE ?= 200
SEED   ?= 1
FILES  ?=
mutate:
	$(Q)python3 test/mutate/mutate.py --count $(MUTATE) --seed $(SEED) --files '$(FILES)'

coverage:
	$(Q)python3 test/mutate/mutate.py --coverage

include test/fuzz/fuzz.mk

demo: all
	$(Q)sh examples/demo.sh $(BUILD)

bench: all
	$(Q)$(BUILD)/examples/bench

# Installs nothing; numpy and torch are needed, onnx with onnxruntime or openvino are welcome.
PYTHON ?= python3
bench-peers: all
	$(Q)$(PYTHON) test/bench_cpu.py $(BUILD)

-include $(HOSTOBJ:.o=.d) $(BUILD)/test/alexnet-minimal.d $(BUILD)/test/probes-host.d $(CUDASRC:%.cu=$(BUILD)/%.d)
-include $(OBJ:.o=.d) $(TESTS:.o=.d) $(PROGRAMTESTS:.o=.d) $(EXCOMMON:.o=.d) $(EXNAMES:%=$(BUILD)/examples/%.d)

clean:
	$(Q)rm -rf $(BUILD)

FORCE:
.PHONY: FORCE all check-format check-lint deps install uninstall demo bench bench-peers clean check check-long check-headers \
        check-symbols check-host check-abi check-install check-examples check-reproducible check-plugin \
        check-cuda-examples check-faults check-layers check-probes check-suites store-abi card-bundle card-report store-card-report mutate coverage
