/*
 * gap.c - white space between the parts of a document.
 *
 * How far a gap has been read is one number, 0 at its beginning. Fixed styles count the characters
 * they have written; `any` has one state; `flexible` counts blanks and new lines:
 *
 *   bits 0-7 blanks on this line, bits 8-9 lines, bit 10 a carriage return that wants its new line
 */
#include "constraint/machine.h"

/* Flexible: at most so many blanks without a new line, new lines, and blanks of an indentation. */
enum { FLEXIBLE_BLANKS = 8, FLEXIBLE_LINES = 2, FLEXIBLE_INDENT = 128 };

enum { BLANKS = 255, LINE = 256, CARRIAGE = 1024 };

uint32_t cz_gap_step_flexible(uint32_t state, uint8_t byte)
{
    uint32_t lines = state / LINE & 3, blanks = state & BLANKS;
    if (byte == '\n')
        return lines < FLEXIBLE_LINES ? (lines + 1) * LINE : CZ_NO_GAP;
    if (state & CARRIAGE)
        return CZ_NO_GAP;
    if (byte == '\r')
        return lines < FLEXIBLE_LINES ? state | CARRIAGE : CZ_NO_GAP;
    if (byte != ' ' && byte != '\t')
        return CZ_NO_GAP;
    return blanks < (lines ? FLEXIBLE_INDENT : FLEXIBLE_BLANKS) ? state + 1 : CZ_NO_GAP;
}

bool cz_gap_done_flexible(uint32_t state)
{
    return !(state & CARRIAGE);
}

/* The exact blanks of a fixed style before the next part; *line is set when a new line leads. */
static uint32_t fixed_blanks(const struct cz_machine *machine, enum gap gap, uint32_t depth,
                             bool *line)
{
    enum cz_whitespace style = machine->options.whitespace;
    *line = style == CZ_WHITESPACE_PRETTY &&
            (gap == GAP_OPEN || gap == GAP_CLOSE || gap == GAP_COMMA);
    if (*line)
        return 2 * (gap == GAP_CLOSE ? depth - 1 : depth);
    if (style == CZ_WHITESPACE_COMPACT)
        return 0;
    return gap == GAP_COLON || gap == GAP_COMMA;
}

bool cz_is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

uint32_t cz_gap_step(const struct cz_machine *machine, enum gap gap, uint32_t depth, uint32_t state,
                     uint8_t byte)
{
    bool line;
    if (machine->options.whitespace == CZ_WHITESPACE_ANY)
        return cz_is_blank(byte) ? state : CZ_NO_GAP;
    if (machine->options.whitespace == CZ_WHITESPACE_FLEXIBLE)
        return cz_gap_step_flexible(state, byte);
    uint32_t blanks = fixed_blanks(machine, gap, depth, &line) + line;
    if (state >= blanks)
        return CZ_NO_GAP;
    return byte == (line && state == 0 ? '\n' : ' ') ? state + 1 : CZ_NO_GAP;
}

bool cz_gap_done(const struct cz_machine *machine, enum gap gap, uint32_t depth, uint32_t state)
{
    bool line;
    if (machine->options.whitespace == CZ_WHITESPACE_ANY)
        return true;
    if (machine->options.whitespace == CZ_WHITESPACE_FLEXIBLE)
        return cz_gap_done_flexible(state);
    uint32_t blanks = fixed_blanks(machine, gap, depth, &line);
    return state == blanks + line;
}

void cz_gap_finish(const struct cz_machine *machine, enum gap gap, uint32_t depth, uint32_t state,
                   struct cz_buffer *out)
{
    bool line;
    if (machine->options.whitespace == CZ_WHITESPACE_FLEXIBLE && (state & CARRIAGE))
        cz_buffer_append_byte(out, '\n');
    if (machine->options.whitespace >= CZ_WHITESPACE_FLEXIBLE)
        return;
    uint32_t blanks = fixed_blanks(machine, gap, depth, &line) + line;
    for (; state < blanks; state++)
        cz_buffer_append_byte(out, line && state == 0 ? '\n' : ' ');
}
