# A pymodbus client: `pymodbus-client.py PORT UNIT ADDRESS COUNT` prints the input registers as JSON.
import json
import sys

from pymodbus.client import ModbusTcpClient

port, unit, address, count = map(int, sys.argv[1:5])
client = ModbusTcpClient("127.0.0.1", port=port)
client.connect()
try:
    answer = client.read_input_registers(address, count, slave=unit)
except TypeError:
    answer = client.read_input_registers(address, count=count, device_id=unit)
client.close()
print(json.dumps(answer.registers))
