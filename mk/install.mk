# make install, make uninstall (PREFIX, DESTDIR): tools, man pages, configs, recipes and data
bindir := $(DESTDIR)$(PREFIX)/bin
mandir := $(DESTDIR)$(PREFIX)/share/man
share  := $(DESTDIR)$(PREFIX)/share/apr
libdir := $(DESTDIR)$(PREFIX)/lib/apr
man1   := $(wildcard tools/*.1)
man5   := $(wildcard lib/*.5)
man7   := $(wildcard lib/*.7)

install: all  ## install under PREFIX (DESTDIR is put before it)
	install -d $(bindir) $(mandir)/man1 $(mandir)/man5 $(mandir)/man7 $(share) $(libdir)
	install -m 755 $(TOOLS:%=$B/%) $(bindir)
	install -m 755 $(ZYGOTE) $(wildcard $(CUDASO)) $(libdir)
	install -m 644 $(man1) $(mandir)/man1
	install -m 644 $(man5) $(mandir)/man5
	install -m 644 $(man7) $(mandir)/man7
	tar -cf - configs data recipes tests/hostile/sandbox | tar -xf - --no-same-owner -C $(share)
uninstall:  ## remove what install put there
	rm -f $(TOOLS:%=$(bindir)/%) $(man1:tools/%=$(mandir)/man1/%) \
	  $(man5:lib/%=$(mandir)/man5/%) $(man7:lib/%=$(mandir)/man7/%)
	rm -rf $(share) $(libdir)
.PHONY: install uninstall
