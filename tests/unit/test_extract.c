/* test_extract - awkward answers and the code that must come out of them */
#include "extract.h"
#include "tap.h"
#include <string.h>

#define F     "def f(x):\n    return x\n"
#define TICKS "```"

static const struct {
    const char *what, *entry, *text, *code;
    enum extract_how how;
} cases[] = {
    // clang-format off
    {"a fence", "f", TICKS "python\n" F TICKS, F, EXTRACT_FENCE},
    {"a fence and nothing known", NULL, TICKS "python\n" F TICKS "\n", F, EXTRACT_FENCE},
    {"chat around the fence", "f", "Sure! Here it is:\n\n" TICKS "python\n" F TICKS "\n\nThis returns x.", F, EXTRACT_FENCE},
    {"no language", "f", TICKS "\n" F TICKS, F, EXTRACT_FENCE},
    {"py, Python3, PYTHON", "f", TICKS "PYTHON\n" F TICKS, F, EXTRACT_FENCE},
    {"tildes", "f", "~~~python\n" F "~~~\n", F, EXTRACT_FENCE},
    {"four ticks", "f", "````python\n" F "````\n", F, EXTRACT_FENCE},
    {"carriage returns", "f", TICKS "python\r\ndef f(x):\r\n    return x\r\n" TICKS "\r\n", F, EXTRACT_FENCE},
    {"a fence in a list", "f", "1. Do:\n   " TICKS "python\n   def f(x):\n       return x\n   " TICKS, F, EXTRACT_FENCE},
    {"usage first", "f", TICKS "python\nprint(f(1))\n" TICKS "\nand\n" TICKS "python\n" F TICKS, F, EXTRACT_FENCE},
    {"usage second", "f", TICKS "python\n" F TICKS "\nUse:\n" TICKS "python\nprint(f(1))\n" TICKS, F, EXTRACT_FENCE},
    {"usage first, nothing known", NULL, TICKS "python\nf(1)\n" TICKS "\n" TICKS "python\n" F TICKS, F, EXTRACT_FENCE},
    {"a shell fence first", "f", TICKS "bash\npip install x\n" TICKS "\n" TICKS "python\n" F TICKS, F, EXTRACT_FENCE},
    {"an output fence last", "f", TICKS "\n" F TICKS "\nOutput:\n" TICKS "\n1\n" TICKS, F, EXTRACT_FENCE},
    {"two versions: the first", "f", TICKS "python\n" F TICKS "\nor\n" TICKS "python\ndef f(x): return x\n" TICKS, F, EXTRACT_FENCE},
    {"a helper, then what is asked for", "g", TICKS "python\n" F TICKS "\n" TICKS "python\ndef g(x):\n    return 1\n" TICKS,
     "def g(x):\n    return 1\n", EXTRACT_FENCE},
    {"a name that only begins alike", "f", TICKS "python\ndef f2(x):\n    return 1\n" TICKS "\n" TICKS "python\n" F TICKS, F, EXTRACT_FENCE},
    {"an assigned lambda", "f", TICKS "python\nprint(1)\n" TICKS "\n" TICKS "python\nf = lambda x: x\n" TICKS, "f = lambda x: x\n", EXTRACT_FENCE},
    {"a class", "C", TICKS "python\n" F TICKS "\n" TICKS "python\nclass C:\n    pass\n" TICKS, "class C:\n    pass\n", EXTRACT_FENCE},
    {"the fence never ends", "f", TICKS "python\n" F, F, EXTRACT_OPEN_FENCE},
    {"cut in the middle of a line", "f", TICKS "python\ndef f(x):\n    return x +", "def f(x):\n    return x +\n", EXTRACT_OPEN_FENCE},
    {"no end, then chat", "f", TICKS "python\n" F "\n**Explanation**\nIt returns x.\n", F, EXTRACT_OPEN_FENCE},
    {"no end, then Human:", "f", TICKS "python\n" F "Human: write another\n", F, EXTRACT_OPEN_FENCE},
    {"closed at the end of a line", "f", TICKS "python\ndef f(x):\n    return x" TICKS, F, EXTRACT_FENCE},
    {"complete beats open", "f", TICKS "python\n" F TICKS "\n" TICKS "python\ndef f(x):\n    return 2\n", F, EXTRACT_FENCE},
    {"one line", "f", TICKS "python def f(x): return x\n" TICKS, "def f(x): return x\n", EXTRACT_FENCE},
    {"a fence inside a docstring", "f", TICKS "python\ndef f(x):\n    \"\"\"Like\n" TICKS "\nf(1)\n" TICKS "\n    \"\"\"\n    return x\n" TICKS,
     "def f(x):\n    \"\"\"Like\n" TICKS "\nf(1)\n" TICKS "\n    \"\"\"\n    return x\n", EXTRACT_FENCE},
    {"an empty fence, then a full one", "f", TICKS "python\n" TICKS "\n" TICKS "python\n" F TICKS, F, EXTRACT_FENCE},
    {"raw", "f", F, F, EXTRACT_RAW},
    {"raw without a final newline", "f", "def f(x):\n    return x", F, EXTRACT_RAW},
    {"raw after chat", "f", "Here is the function:\n\n" F, F, EXTRACT_RAW},
    {"raw before chat", "f", F "\nThis function returns its argument.", F, EXTRACT_RAW},
    {"raw before ###", "f", F "\n### Explanation\nIt returns x.", F, EXTRACT_RAW},
    {"raw before ---", "f", F "---\nDone.", F, EXTRACT_RAW},
    {"raw before Human", "f", F "Human: and now?\n", F, EXTRACT_RAW},
    {"raw before **bold**", "f", F "**Note**: slow\n", F, EXTRACT_RAW},
    {"raw before Note:", "f", F "Note: this is slow\n", F, EXTRACT_RAW},
    {"raw before a list", "f", F "1. first\n- second\n", F, EXTRACT_RAW},
    {"raw with imports", "f", "import math\nfrom typing import List\n\n\n" F, "import math\nfrom typing import List\n\n\n" F, EXTRACT_RAW},
    {"raw with a constant above", "f", "N = 3\n\n" F, "N = 3\n\n" F, EXTRACT_RAW},
    {"raw with a constant and a call below", "f", F "N = f(3)\nprint(N)\n", F "N = f(3)\nprint(N)\n", EXTRACT_RAW},
    {"raw with a decorator", "f", "@cache\n" F, "@cache\n" F, EXTRACT_RAW},
    {"raw with a main guard", "f", F "\nif __name__ == '__main__':\n    f(1)\n", F "\nif __name__ == '__main__':\n    f(1)\n", EXTRACT_RAW},
    {"prose inside a docstring at column 0", "f", "def f(x):\n    \"\"\"\nThis is prose here.\n\"\"\"\n    return x\n",
     "def f(x):\n    \"\"\"\nThis is prose here.\n\"\"\"\n    return x\n", EXTRACT_RAW},
    {"brackets over lines", "f", "T = [\n1,\n2,\n]\n" F, "T = [\n1,\n2,\n]\n" F, EXTRACT_RAW},
    {"else and except at column 0", "f", "try:\n    import a\nexcept ImportError:\n    a = None\n" F, "try:\n    import a\nexcept ImportError:\n    a = None\n" F, EXTRACT_RAW},
    {"a body to append to the prompt", "f", "    return x\n", "    return x\n", EXTRACT_RAW},
    {"a body, then chat", "f", "    y = x\n    return y\n\nThat is all.", "    y = x\n    return y\n", EXTRACT_RAW},
    {"thinking, then a fence", "f", "<think>\n" TICKS "python\ndef f(x):\n    return 0\n" TICKS "\nNo.\n</think>\n" TICKS "python\n" F TICKS, F, EXTRACT_FENCE},
    {"thinking without its opening tag", "f", "hmm def f\n</think>\n" F, F, EXTRACT_RAW},
    {"code only in the thinking", "f", "<think>\n" TICKS "python\n" F TICKS "\n</think>\nI am done.", F, EXTRACT_THINKING},
    {"thinking that never ends", "f", "<think>\nperhaps\n" TICKS "python\n" F TICKS, F, EXTRACT_THINKING},
    {"thinking without code", "f", "<think>\nI wonder\n", "", EXTRACT_NONE},
    {"the end-of-turn mark as text", "f", TICKS "python\n" F TICKS "<|im_end|>\n<|im_start|>user\n", F, EXTRACT_FENCE},
    {"the end-of-turn mark after raw code", "f", F "<|im_end|>def g(): pass\n", F, EXTRACT_RAW},
    {"a byte order mark", "f", "\xef\xbb\xbf" F, F, EXTRACT_RAW},
    {"non-ASCII text", "f", "Voil\xc3\xa0 :\n" TICKS "python\ndef f(x):\n    return '\xe2\x82\xac'\n" TICKS, "def f(x):\n    return '\xe2\x82\xac'\n", EXTRACT_FENCE},
    {"prose alone", "f", "I cannot do that.", "", EXTRACT_NONE},
    {"prose with a keyword first", "f", "from the list we take the first\nimport the module\n", "", EXTRACT_NONE},
    {"nothing", "f", "", "", EXTRACT_NONE},
    {"white space", "f", " \n\t\n", "", EXTRACT_NONE},
    {"an empty fence", "f", TICKS "python\n" TICKS, "", EXTRACT_NONE},
    {"an open fence without code", "f", TICKS "python\n", "", EXTRACT_NONE},
    {"inline ticks are no fence", "f", "Use `f` or ``g``.\n", "", EXTRACT_NONE},
    // clang-format on
};

int main(void)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum extract_how how;
        char *c = extract_code(cases[i].text, strlen(cases[i].text), cases[i].entry, &how);
        ok(c && !strcmp(c, cases[i].code) && how == cases[i].how, "%s", cases[i].what);
        if (c && (strcmp(c, cases[i].code) || how != cases[i].how))
            printf("# %s: [%s]\n# wanted %s: [%s]\n", extract_how_name(how), c,
                   extract_how_name(cases[i].how), cases[i].code);
        free(c);
    }
    ok(extract_defines("async def f(x): pass", "f") && extract_defines("x=1\nf = 3", "f") &&
           !extract_defines("f == 3", "f") && !extract_defines("  def f(): pass", "f") &&
           !extract_defines("def ff(): pass", "f") && !extract_defines("", "f"),
       "extract_defines");
    /* every prefix of every answer: no crash, and always a result (ASan watches) */
    int all = 1;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t n = 0; n <= strlen(cases[i].text); n++) {
            enum extract_how how;
            char *copy = malloc(n ? n : 1), *c;
            memcpy(copy, cases[i].text, n);
            c = extract_code(copy, n, cases[i].entry, &how);
            all = all && c && (how == EXTRACT_NONE) == !*c;
            free(c);
            free(copy);
        }
    ok(all, "every prefix of every answer");
    return done_testing();
}
