# make help, make tour, make sizes
help:  ## this list
	@echo 'apr: finetune and evaluate code models with small tools.  The main job: make recipe-a'
	@echo
	@awk -F':.*## ' '/^[a-z][a-z0-9-]*:.*## / {printf "  make %-16s %s\n", $$1, $$2}' Makefile mk/*.mk
	@echo
	@echo '  make recipe-X MODEL=... BENCH=a,b   a recipe at another scale (recipes/*.yaml)'
	@echo '  make -n recipe-X                    its plan;  make V=1: whole commands;  CC=clang, CFLAGS=...: as usual'

tour_files = git ls-files 'Makefile' 'mk/*.mk' 'kernels/*.h' 'kernels/*.c' 'kernels/*.cu' 'lib/*.h' 'lib/*.c' 'tools/*.c'
tour:  ## what every file is for: its own first line
	@$(tour_files) | while read -r f; do \
	  printf '%-32s %s\n' "$$f" "$$(sed -n '1{s|^/\* *||;s|^# *||;s| *\*/$$||;s|^[^ ]* - ||;p}' "$$f")"; done

sizes:  ## lines per part (information, no gate)
	@for d in tools lib kernels mk tests; do \
	  printf '%-8s %6d lines in %3d files\n' $$d "$$(git ls-files $$d | grep -E '\.(c|cu|h|mk|bats)$$' | xargs cat | wc -l)" \
	    "$$(git ls-files $$d | grep -cE '\.(c|cu|h|mk|bats)$$')"; done
	@git ls-files '*.c' '*.h' | xargs wc -l | sort -rn | sed -n '2,6p'
.PHONY: help tour sizes
