/* The signals role: instance output, request lines and figures of the edge, and the answers to
 * questions about them. It keeps the newest of each in memory, within fixed ceilings; what it lost
 * in a restart it reads again from the output files that the host hands it. */
#pragma once

/* `slipway signals --settings FILE`: fd 3 the listener, fd 4 the request-log socket. Returns the
 * exit code. */
int signals_main(int argc, char **argv);
