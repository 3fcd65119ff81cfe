/* The courier: repositories and the outside world. A role of its own, run as user_courier. */
#pragma once

/* slipway courier --settings FILE; fds as in wire/settings.h. Returns the exit code. */
int courier_main(int argc, char **argv);
