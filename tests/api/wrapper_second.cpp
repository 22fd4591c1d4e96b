#include <vmette.hpp>

const char* version_from_the_second_file();

const char* version_from_the_second_file() {
  return vmette::version();
}
