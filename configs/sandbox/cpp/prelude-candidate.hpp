/* prelude-candidate.hpp - the headers that every C++ solution gets, compiled beforehand
 *
 * What CodeGeeX's evaluation puts before a HumanEval-X solution, and <map>, which its prompts use. */
#include "rpc.hpp"
#include <algorithm>
#include <climits>
#include <cstring>
#include <iostream>
#include <map>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string>
#include <vector>
