# make install (PREFIX, DESTDIR)
