/* The mains behind the one binary: `slipway ROLE|VERB ...`. argv[1] is the role's or verb's name.
 */
#pragma once
#include <stdbool.h>

int serve_main(int argc, char **argv);
int down_main(int argc, char **argv);
int halt_main(int argc, char **argv);
int core_main(int argc, char **argv);
int core_store_main(int argc, char **argv); /* hidden child of backup and restore */
int backup_main(int argc, char **argv);
int restore_main(int argc, char **argv);
int courier_main(int argc, char **argv);
bool git_ssh_is(const char *program); /* hidden child of git: told by its own name, argv[0] */
int git_ssh_main(int argc, char **argv);
int host_main(int argc, char **argv);
int signals_main(int argc, char **argv);
int probe_main(int argc, char **argv); /* hidden children of host, narrowed */
int unpack_main(int argc, char **argv);
int report_main(int argc, char **argv);
int pack_main(int argc, char **argv);
int cli_main(int argc, char **argv); /* everything else */
