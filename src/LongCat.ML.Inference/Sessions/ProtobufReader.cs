using System.Buffers.Binary;

namespace LongCat.ML.Inference.Sessions;

/// <summary>The fields of one protobuf message, in their order: as much of the wire format as finding the weights of a graph takes.</summary>
internal ref struct ProtobufReader(ReadOnlySpan<byte> message)
{
    private const int Varint = 0, Fixed64 = 1, Bytes = 2, Fixed32 = 5;
    private ReadOnlySpan<byte> _rest = message;
    private ReadOnlySpan<byte> _content;
    private int _wireType;

    /// <summary>The field's number.</summary>
    public int Field { get; private set; }

    /// <summary>The value of a field of whole numbers; 0 for any other.</summary>
    public ulong Number { get; private set; }

    /// <summary>The content of a message, text or packed field; empty for any other.</summary>
    public readonly ReadOnlySpan<byte> Content => _content;

    /// <summary>Goes to the next field.</summary>
    /// <returns>False at the end.</returns>
    /// <exception cref="InvalidDataException">The bytes are no protobuf message.</exception>
    public bool Next()
    {
        if (_rest.IsEmpty)
        {
            return false;
        }

        ulong tag = ReadVarint(ref _rest);
        Field = checked((int)Math.Min(tag >> 3, int.MaxValue));
        _wireType = (int)(tag & 7);
        Number = 0;
        _content = default;
        switch (_wireType)
        {
            case Varint:
                Number = ReadVarint(ref _rest);
                break;
            case Fixed64:
                Number = BinaryPrimitives.ReadUInt64LittleEndian(Take(8));
                break;
            case Fixed32:
                Number = BinaryPrimitives.ReadUInt32LittleEndian(Take(4));
                break;
            case Bytes:
                _content = Take(ReadVarint(ref _rest));
                break;
            default:
                throw new InvalidDataException($"field {Field} has the wire type {_wireType}, expected 0, 1, 2 or 5");
        }

        return true;
    }

    /// <summary>Appends a repeated field of whole numbers, packed or not.</summary>
    public readonly void AppendTo(List<long> values)
    {
        if (_wireType == Varint)
        {
            values.Add((long)Number);
            return;
        }

        ReadOnlySpan<byte> packed = _content;
        while (!packed.IsEmpty)
        {
            values.Add((long)ReadVarint(ref packed));
        }
    }

    private ReadOnlySpan<byte> Take(ulong length)
    {
        if (length > (ulong)_rest.Length)
        {
            throw new InvalidDataException($"field {Field} has {length} bytes, {_rest.Length} are left");
        }

        ReadOnlySpan<byte> taken = _rest[..(int)length];
        _rest = _rest[(int)length..];
        return taken;
    }

    private static ulong ReadVarint(ref ReadOnlySpan<byte> from)
    {
        ulong value = 0;
        for (int i = 0; i < Math.Min(10, from.Length); i++)
        {
            value |= (ulong)(from[i] & 0x7F) << (7 * i);
            if (from[i] < 0x80)
            {
                from = from[(i + 1)..];
                return value;
            }
        }

        throw new InvalidDataException("a number does not end");
    }
}
