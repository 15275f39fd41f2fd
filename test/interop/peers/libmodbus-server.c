/* A libmodbus server, TCP on loopback or RTU on a serial line: every holding and input register holds its own address, coils are writable.
 * cc -o server libmodbus-server.c -I/usr/include/modbus -lmodbus; ./server PORT, or ./server rtu PATH BAUD (unit 1)
 * Prints "ready", serves one connection after the other, until it is killed. */
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void serve(modbus_t *ctx, modbus_mapping_t *map) {
  for (;;) {
    uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
    int length = modbus_receive(ctx, query);
    if (length < 0) return;
    if (length > 0) modbus_reply(ctx, query, length, map);
  }
}

int main(int argc, char **argv) {
  int rtu = argc > 3 && strcmp(argv[1], "rtu") == 0;
  int port = argc > 1 ? atoi(argv[1]) : 1502;
  modbus_t *ctx = rtu ? modbus_new_rtu(argv[2], atoi(argv[3]), 'N', 8, 1) : modbus_new_tcp("127.0.0.1", port);
  modbus_mapping_t *map = modbus_mapping_new(2000, 2000, 2000, 2000);
  if (ctx == NULL || map == NULL) return 1;
  for (int i = 0; i < 2000; i++) map->tab_registers[i] = map->tab_input_registers[i] = (uint16_t)i;
  int listener = -1;
  if (rtu) {
    if (modbus_set_slave(ctx, 1) < 0 || modbus_connect(ctx) < 0) return 1;
  } else if ((listener = modbus_tcp_listen(ctx, 4)) < 0) return 1;
  puts("ready");
  fflush(stdout);
  for (;;) {
    if (!rtu && modbus_tcp_accept(ctx, &listener) < 0) return 1;
    serve(ctx, map);
    if (!rtu) modbus_close(ctx);
  }
}
