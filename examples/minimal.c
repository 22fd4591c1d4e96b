#include <stdio.h>
#include <vmette.h>

int main(void) {
  vmette_config* config = NULL;
  vmette_output* output = NULL;
  vmette_error* error = vmette_config_new(&config);
  if (!error)
    error = vmette_config_set_exec(config, "echo Hello from $(hostname), a $(uname) guest");
  if (!error) error = vmette_config_set_quiet(config, true);
  if (!error) error = vmette_run(config, &output);
  if (error) fprintf(stderr, "vmette: %s\n", vmette_error_message(error));
  int code = error ? 1 : vmette_output_exit_code(output);
  vmette_error_delete(error);
  vmette_output_delete(output);
  vmette_config_delete(config);
  return code;
}
