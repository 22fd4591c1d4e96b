// vmette.h in a C++ program: needs no other header and may come twice.
#include <vmette.h>

int main() {
  return vmette_version()[0] == '\0';
}
