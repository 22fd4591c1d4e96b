/* vmette.h needs no other header and may come twice. */
#include <vmette.h>

int main(void) {
  return vmette_version()[0] == '\0';
}
