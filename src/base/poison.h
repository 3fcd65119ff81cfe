/* Included before everything by the build: what must not be called does not compile.
 * System headers are taken in first, so that their own declarations still stand. */
#pragma once
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* With clang and _FORTIFY_SOURCE these are macros, and a macro cannot be poisoned. */
#undef sprintf
#undef vsprintf
#pragma GCC poison system popen sprintf vsprintf strcpy strcat strncpy strncat strtok atoi atol gets
