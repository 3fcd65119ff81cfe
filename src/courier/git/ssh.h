/* What git starts for ssh when it goes outside: ourselves, under the name ROAD_SSH (road.h). */
#pragma once
#include <stdbool.h>

bool git_ssh_is(const char *program); /* argv[0] */
/* argv[0] is FOLDER/slipway-ssh; the rest is for ssh. Becomes ssh; returns an exit code when it
 * cannot. */
int git_ssh_main(int argc, char **argv);
