/* A libmodbus TCP server on loopback: every holding and input register holds its own address, coils are writable.
 * cc -o server libmodbus-server.c -I/usr/include/modbus -lmodbus; ./server PORT
 * Prints "ready", serves one connection after the other, until it is killed. */
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  int port = argc > 1 ? atoi(argv[1]) : 1502;
  modbus_t *ctx = modbus_new_tcp("127.0.0.1", port);
  modbus_mapping_t *map = modbus_mapping_new(2000, 2000, 2000, 2000);
  if (ctx == NULL || map == NULL) return 1;
  for (int i = 0; i < 2000; i++) map->tab_registers[i] = map->tab_input_registers[i] = (uint16_t)i;
  int listener = modbus_tcp_listen(ctx, 4);
  if (listener < 0) return 1;
  puts("ready");
  fflush(stdout);
  for (;;) {
    if (modbus_tcp_accept(ctx, &listener) < 0) return 1;
    for (;;) {
      uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
      int length = modbus_receive(ctx, query);
      if (length < 0) break;
      if (length > 0) modbus_reply(ctx, query, length, map);
    }
    modbus_close(ctx);
  }
}
