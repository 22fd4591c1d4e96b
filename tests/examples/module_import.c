/* The C header through clang's modules, as a Swift program imports it. */
#pragma clang module import CVmette
int main(void) {
  vmette_config_delete((vmette_config*)0);
  return VMETTE_STDOUT - 1;
}
