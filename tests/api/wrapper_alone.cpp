// vmette.hpp needs no other header and may come twice. The second file of this program includes it
// too: nothing in it is defined twice.
#include <vmette.hpp>

const char* version_from_the_second_file();

int main() {
  return vmette::version() == version_from_the_second_file() ? 0 : 1;
}
