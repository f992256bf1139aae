/* main.c - the program `cloze`: finds the verb and runs it. */
#include "cloze.h"

#include <stdio.h>

int main(void)
{
    printf("cloze %s\n", cloze_version());
    return 0;
}
