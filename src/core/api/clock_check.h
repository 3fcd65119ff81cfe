/* Is the wall clock right? Nobody on the machine knows for sure; these are the signs that there
 * are: what was written with a later clock shows one that is behind, a jump that the monotonic
 * clock did not make shows one that was set. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/time.h"

struct clock_facts {
    int64_t wall_ms;
    int64_t last_row_ms;  /* of the journal */
    int64_t program_ms;   /* when our program was written to the disk */
    int64_t jumped_ms;    /* how far the wall clock ran ahead of the machine's since core started */
    bool is_synchronised; /* the kernel is told the time by somebody (NTP) */
};
#define CLOCK_TEXT 300
/* The text says what is known; false: something is wrong. Pure. */
bool clock_judge(const struct clock_facts *f, char ret_text[CLOCK_TEXT]);
/* Remember how the clocks stood: at core's start. */
void clock_check_start(const struct clock *c);
/* The facts that the machine gives; last_row_ms is the caller's. */
void clock_check_look(const struct clock *c, struct clock_facts *ret_facts);
