#!/usr/bin/env bats
# make install puts a working tree under PREFIX; uninstall takes it away
bats_require_minimum_version 1.5.0

@test "installed tools find their configs and data; uninstall leaves nothing" {
    d=$BATS_TEST_TMPDIR/root
    # the checkout's own tools: whatever flags they were built with
    run -0 make -s -C "$TOP" install DESTDIR="$d" PREFIX=/usr CFLAGS="${APR_CFLAGS:--O2 -g}"
    [ -x "$d/usr/bin/apr-gen" ]
    [ -f "$d/usr/share/man/man1/apr-gen.1" ]
    [ -f "$d/usr/share/man/man7/schema.7" ]
    cd "$BATS_TEST_TMPDIR"
    run -0 --separate-stderr "$d/usr/bin/apr-prompt" --bench basic
    [ "${#lines[@]}" = 164 ]
    run -0 make -s -C "$TOP" uninstall DESTDIR="$d" PREFIX=/usr
    [ -z "$(find "$d" -type f)" ]
}
