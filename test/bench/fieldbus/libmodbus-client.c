/* The yardstick: libmodbus reading 100 holding registers, one request after the other.
 * cc -O2 -o client libmodbus-client.c -I/usr/include/modbus -lmodbus; ./client PORT SECONDS -> transactions per second */
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  modbus_t *ctx = modbus_new_tcp("127.0.0.1", atoi(argv[1]));
  if (ctx == NULL || modbus_connect(ctx) != 0) return 1;
  uint16_t registers[100];
  long done = 0;
  double start = now();
  double end = start + atof(argv[2]);
  while (now() < end) {
    if (modbus_read_registers(ctx, 0, 100, registers) != 100) return 1;
    done++;
  }
  printf("%.1f\n", (double)done / (now() - start));
  return 0;
}
