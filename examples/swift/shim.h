/* The one header of the module; found on the include path of an installed vmette. */
#include <vmette.h>
