"""A pymodbus server that shows an SDM630: python3 pymodbus-server.py tcp PORT | rtu PATH BAUD"""

import struct
import sys

from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext
from pymodbus.server import StartSerialServer, StartTcpServer
from pymodbus.transaction import ModbusRtuFramer

VALUES = {12: 100.0, 14: 200.0, 16: -1534.5, 52: -1234.5, 72: 8123.456, 74: 12.5, 0: 231.25, 2: 232.5, 4: 229.75, 70: 50.0}


def registers():
    block = [0] * 200
    for address, value in VALUES.items():
        block[address], block[address + 1] = struct.unpack(">HH", struct.pack(">f", value))
    return block


slave = ModbusSlaveContext(
    ir=ModbusSequentialDataBlock(0, registers()),
    hr=ModbusSequentialDataBlock(0, [0] * 200),
    co=ModbusSequentialDataBlock(0, [0] * 16),
    zero_mode=True,
)
context = ModbusServerContext(slaves=slave, single=True)
print("ready", flush=True)
if sys.argv[1] == "tcp":
    StartTcpServer(context=context, address=("127.0.0.1", int(sys.argv[2])))
else:
    StartSerialServer(context=context, framer=ModbusRtuFramer, port=sys.argv[2], baudrate=int(sys.argv[3]), timeout=1)
