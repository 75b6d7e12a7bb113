# libalexnet - GNU make. Variables in capitals may be set by the caller; V=1 shows commands.
#
#   make deps demo     installs what is missing, builds, runs the main job on made-up data
#   make deps check    the same with all tests
#   make [all]         libalexnet.so, libalexnet.a, alexnet.pc, the example programs
#   make install       to DESTDIR, PREFIX, LIBDIR, INCLUDEDIR, BINDIR;  make uninstall
#   make bench         forward, backward, update: images a second
#   make check-long    what takes too long for check
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
               __fprintf_chk perror __register_atfork pthread_atfork
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
BASE     = -std=c99 $(WARN) -ffile-prefix-map=$(CURDIR)=. -MMD -MP
LIBC     = $(BASE) -Iinclude -Ilib -fPIC -fvisibility=hidden -fno-math-errno \
           $(BLAS_CFLAGS) $(shell $(PKG_CONFIG) --cflags jansson) $(CPPFLAGS) $(CFLAGS) \
           $(SANFLAGS)
LINKC    = $(filter-out -Ofast -ffast-math -funsafe-math-optimizations,$(CFLAGS)) $(SANFLAGS)
LIBS     = $(BLAS_LIBS) $(shell $(PKG_CONFIG) --libs jansson) -lm -pthread

OBJ     := $(patsubst %.c,$(BUILD)/%.o,$(filter-out cpu/private_blas.c,\
             $(sort $(wildcard lib/*.c cpu/*.c))))
PRIVATE  = $(if $(filter shared,$(OPENBLAS)),,$(BUILD)/cpu/private_blas.o)
EXNAMES := $(patsubst examples/%.c,%,$(sort $(wildcard examples/*.c)))
EXCOMMON:= $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard examples/common/*.c)))
TESTS   := $(patsubst %.c,$(BUILD)/%.o,$(sort $(wildcard test/test_*.c)) test/ref.c \
             test/ref_net.c test/main.c)

# What `make deps` wants on Debian. Everything waits for it where both are asked for.
PACKAGES := gcc g++ make pkg-config libopenblas-dev libopenblas-pthread-dev libjansson-dev \
            libstb-dev check cmake
AFTER    := $(if $(filter deps,$(MAKECMDGOALS)),deps)

all: $(BUILD)/$(SO) $(BUILD)/libalexnet.a $(BUILD)/alexnet.pc $(EXNAMES:%=$(BUILD)/examples/%)

deps:
	@sh test/deps.sh $(PACKAGES)

$(BUILD)/lib/%.o: lib/%.c | $(AFTER)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(LIBC) -c $< -o $@

$(BUILD)/cpu/%.o: cpu/%.c | $(AFTER)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(LIBC) -c $< -o $@

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

# --- example programs: the public header alone ------------------------------------------

EXC = $(BASE) -Iinclude $(CPPFLAGS) $(CFLAGS) $(SANFLAGS)

$(BUILD)/examples/%.o: examples/%.c | $(AFTER)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(EXC) -c $< -o $@

$(BUILD)/examples/%: $(BUILD)/examples/%.o $(EXCOMMON) $(BUILD)/$(SO)
	$(call say,LD,$@)
	$(Q)$(CC) $(LINKC) $< $(EXCOMMON) $(LDFLAGS) -L$(BUILD) -lalexnet -lm \
	    -Wl,-rpath,'$$ORIGIN/..' -o $@

# For installing: the same without the path to the build folder.
$(BUILD)/bin/alexnet-%: $(BUILD)/examples/%.o $(EXCOMMON) $(BUILD)/$(SO)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LINKC) $< $(EXCOMMON) $(LDFLAGS) -L$(BUILD) -lalexnet -lm -o $@

.SECONDARY:

# --- install -----------------------------------------------------------------------------

CMAKEDIR = $(LIBDIR)/cmake/alexnet

install: all $(EXNAMES:%=$(BUILD)/bin/alexnet-%) $(BUILD)/alexnet-config.cmake \
         $(BUILD)/alexnet-config-version.cmake
	$(Q)$(INSTALL) -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(INCLUDEDIR) \
	    $(DESTDIR)$(BINDIR) $(DESTDIR)$(CMAKEDIR)
	$(Q)$(INSTALL) -m 644 include/alexnet.h $(DESTDIR)$(INCLUDEDIR)/
	$(Q)$(INSTALL) -m 644 $(BUILD)/libalexnet.a $(BUILD)/$(SO) $(DESTDIR)$(LIBDIR)/
	$(Q)ln -sf $(SO) $(DESTDIR)$(LIBDIR)/libalexnet.so.$(SOMAJOR)
	$(Q)ln -sf libalexnet.so.$(SOMAJOR) $(DESTDIR)$(LIBDIR)/libalexnet.so
	$(Q)$(INSTALL) -m 644 $(BUILD)/alexnet.pc $(DESTDIR)$(LIBDIR)/pkgconfig/
	$(Q)$(INSTALL) -m 644 $(BUILD)/alexnet-config.cmake \
	    $(BUILD)/alexnet-config-version.cmake $(DESTDIR)$(CMAKEDIR)/
	$(Q)$(INSTALL) -m 755 $(EXNAMES:%=$(BUILD)/bin/alexnet-%) $(DESTDIR)$(BINDIR)/
	@echo "installed $(VERSION) to $(DESTDIR)$(PREFIX)"

uninstall:
	$(Q)rm -f $(DESTDIR)$(INCLUDEDIR)/alexnet.h $(DESTDIR)$(LIBDIR)/libalexnet.a \
	    $(DESTDIR)$(LIBDIR)/$(SO) $(DESTDIR)$(LIBDIR)/libalexnet.so.$(SOMAJOR) \
	    $(DESTDIR)$(LIBDIR)/libalexnet.so $(DESTDIR)$(LIBDIR)/pkgconfig/alexnet.pc \
	    $(DESTDIR)$(CMAKEDIR)/alexnet-config.cmake \
	    $(DESTDIR)$(CMAKEDIR)/alexnet-config-version.cmake \
	    $(EXNAMES:%=$(DESTDIR)$(BINDIR)/alexnet-%)
	$(Q)rmdir $(DESTDIR)$(CMAKEDIR) 2>/dev/null || true

# --- tests -------------------------------------------------------------------------------

CHECK_CFLAGS = $(shell $(PKG_CONFIG) --cflags check)
CHECK_LIBS   = $(shell $(PKG_CONFIG) --libs check)
TESTC        = $(BASE) -Iinclude -Ilib -Itest $(CHECK_CFLAGS) $(CPPFLAGS) $(CFLAGS) $(SANFLAGS)

$(BUILD)/test/%.o: test/%.c | $(AFTER)
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(TESTC) -c $< -o $@

# The suites reach into the library, so they link its objects, with the same OpenBLAS; of
# the wrapped calls only getenv, as tests may print.
TESTBLAS = $(if $(filter shared,$(OPENBLAS)),$(BLAS_SHARED),$(OPENBLAS_A) -Wl,--wrap=getenv)

$(BUILD)/test/check: $(TESTS) $(OBJ) $(BUILD)/cpu/private_blas.o
	$(call say,LD,$@)
	$(Q)$(CC) $(LINKC) $(LDFLAGS) $(TESTS) $(OBJ) $(PRIVATE) $(TESTBLAS) \
	    $(shell $(PKG_CONFIG) --libs jansson) $(CHECK_LIBS) -lm -pthread -o $@

demo: all
	$(Q)sh examples/demo.sh $(BUILD)

bench: all
	$(Q)$(BUILD)/examples/bench

-include $(OBJ:.o=.d) $(TESTS:.o=.d) $(EXCOMMON:.o=.d) $(EXNAMES:%=$(BUILD)/examples/%.d)

clean:
	$(Q)rm -rf $(BUILD)

FORCE:
.PHONY: FORCE all deps install uninstall demo bench clean
