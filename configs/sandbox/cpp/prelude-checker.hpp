/* prelude-checker.hpp - the headers that every C++ test gets, compiled beforehand
 *
 * What HumanEval-X's prompts include and nothing more: with <cstring>, CPP/23's test would call
 * libc's strlen(const char *) and not the solution's strlen(string), and pass whatever that does. */
#include "rpc.hpp"
#include <algorithm>
#include <map>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string>
#include <vector>
