/* main.c - the program `cloze`. */
#include "cli/verb.h"

int main(int count, char **words)
{
    return cz_cli_main(count, words);
}
