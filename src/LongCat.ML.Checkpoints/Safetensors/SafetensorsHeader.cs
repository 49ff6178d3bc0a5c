using System.Text.Json;

namespace LongCat.ML.Checkpoints;

/// <summary>
/// Reads and checks the header of a safetensors file: eight bytes little-endian length, then JSON. Nothing in it is trusted; every
/// number is checked before it is used, and the tensors must fill the data section without overlap or hole.
/// </summary>
internal sealed class SafetensorsHeader
{
    /// <summary>The reference implementation's limit on the header.</summary>
    internal const long LongestHeader = 100_000_000;

    /// <summary>Far above any real tensor; keeps messages and shapes small.</summary>
    internal const int MostDimensions = 16;

    private const string MetadataKey = "__metadata__";

    private SafetensorsHeader(Dictionary<string, TensorEntry> tensors, Dictionary<string, string> metadata)
    {
        Tensors = tensors;
        Metadata = metadata;
    }

    public Dictionary<string, TensorEntry> Tensors { get; }

    public Dictionary<string, string> Metadata { get; }

    /// <summary>Checks the announced header length against the file before anything of that size is allocated.</summary>
    public static int CheckedLength(string file, ulong announced, long fileLength)
    {
        long available = fileLength - sizeof(ulong);
        if (announced > (ulong)available)
        {
            throw new CheckpointException(file, $"the first eight bytes announce a header of {announced} bytes, longer than the file: "
                + $"only {available} bytes follow them. The file is damaged or no safetensors file.");
        }

        if (announced > (ulong)LongestHeader)
        {
            throw new CheckpointException(file, $"the header is {announced} bytes long, expected at most {LongestHeader}");
        }

        if (announced < 2)
        {
            throw new CheckpointException(file, $"the header is {announced} bytes long, expected at least 2 (an empty JSON object)");
        }

        return (int)announced;
    }

    /// <summary>Parses the JSON and checks all of it.</summary>
    /// <param name="file">Path, for messages and entries.</param>
    /// <param name="json">The header's bytes.</param>
    /// <param name="dataLength">How many bytes follow the header in the file.</param>
    public static SafetensorsHeader Parse(string file, ReadOnlySpan<byte> json, long dataLength)
    {
        if (json[0] != (byte)'{')
        {
            throw new CheckpointException(file, $"the header is not valid JSON: it begins with byte 0x{json[0]:x2}, expected '{{'");
        }

        Dictionary<string, TensorEntry> tensors = new(StringComparer.Ordinal);
        Dictionary<string, string> metadata = new(StringComparer.Ordinal);
        try
        {
            long dataStart = sizeof(ulong) + (long)json.Length;
            Utf8JsonReader reader = new(json, new JsonReaderOptions { MaxDepth = 4 });
            reader.Read();
            bool metadataSeen = false;
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                string name = reader.GetString()!;
                reader.Read();
                if (name == MetadataKey)
                {
                    if (metadataSeen)
                    {
                        throw new CheckpointException(file, $"the header holds {MetadataKey} twice");
                    }

                    metadataSeen = true;
                    ReadMetadata(file, ref reader, metadata);
                }
                else if (!tensors.TryAdd(name, ReadTensor(file, name, ref reader, dataStart)))
                {
                    throw new CheckpointException(file, name, "the header names it twice, expected each name once");
                }
            }

            // Only white space may follow; anything else throws here.
            reader.Read();
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or FormatException)
        {
            throw new CheckpointException(file, $"the header is not valid JSON: {CheckpointException.Printable(e.Message)}", e);
        }

        CheckLayout(file, tensors.Values, sizeof(ulong) + (long)json.Length, dataLength);
        return new SafetensorsHeader(tensors, metadata);
    }

    private static void ReadMetadata(string file, ref Utf8JsonReader reader, Dictionary<string, string> metadata)
    {
        if (reader.TokenType != JsonTokenType.StartObject)
        {
            throw new CheckpointException(file, $"{MetadataKey} is {Describe(reader.TokenType)}, expected an object of texts");
        }

        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string key = reader.GetString()!;
            reader.Read();
            if (reader.TokenType != JsonTokenType.String)
            {
                throw new CheckpointException(file,
                    $"{MetadataKey}: \"{CheckpointException.Printable(key)}\" is {Describe(reader.TokenType)}, expected a text");
            }

            if (!metadata.TryAdd(key, reader.GetString()!))
            {
                throw new CheckpointException(file, $"{MetadataKey} holds \"{CheckpointException.Printable(key)}\" twice");
            }
        }
    }

    private static TensorEntry ReadTensor(string file, string name, ref Utf8JsonReader reader, long dataStart)
    {
        if (name.Length == 0)
        {
            throw new CheckpointException(file, "the header holds a tensor without a name");
        }

        if (reader.TokenType != JsonTokenType.StartObject)
        {
            throw new CheckpointException(file, name,
                $"the header gives {Describe(reader.TokenType)}, expected an object with dtype, shape and data_offsets");
        }

        TensorType? type = null;
        List<long>? shape = null;
        List<long>? offsets = null;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string key = reader.GetString()!;
            reader.Read();
            switch (key)
            {
                case "dtype" when type is null:
                    type = ReadType(file, name, ref reader);
                    break;
                case "shape" when shape is null:
                    shape = ReadNumbers(file, name, key, ref reader, MostDimensions);
                    break;
                case "data_offsets" when offsets is null:
                    offsets = ReadNumbers(file, name, key, ref reader, 2);
                    break;
                case "dtype" or "shape" or "data_offsets":
                    throw new CheckpointException(file, name, $"the header gives {key} twice");
                default:
                    throw new CheckpointException(file, name,
                        $"unknown key \"{CheckpointException.Printable(key)}\" in the header, expected dtype, shape and data_offsets");
            }
        }

        if (type is null || shape is null || offsets is null)
        {
            string lacking = type is null ? "dtype" : shape is null ? "shape" : "data_offsets";
            throw new CheckpointException(file, name, $"the header gives no {lacking}");
        }

        if (offsets.Count != 2 || offsets[0] > offsets[1])
        {
            throw new CheckpointException(file, name,
                $"data_offsets are {TensorEntry.ShapeText(offsets)}, expected begin and end with begin not above end");
        }

        long span = offsets[1] - offsets[0];
        if (!TryByteLength(shape, type.Value, out long needed))
        {
            throw new CheckpointException(file, name,
                $"shape {TensorEntry.ShapeText(shape)} {type.Value.SafetensorsName()} needs more than 2^63 bytes, the offsets span {span}");
        }

        if (needed != span)
        {
            throw new CheckpointException(file, name,
                $"shape {TensorEntry.ShapeText(shape)} {type.Value.SafetensorsName()} needs {needed} bytes, the offsets span {span}");
        }

        if (offsets[1] > long.MaxValue - dataStart)
        {
            throw new CheckpointException(file, name, $"data_offsets are {TensorEntry.ShapeText(offsets)}, beyond any file");
        }

        return new TensorEntry(name, type.Value, shape.AsReadOnly(), file, dataStart + offsets[0], needed);
    }

    /// <summary>Elements × element size without overflow; false where the product does not fit in 63 bits.</summary>
    internal static bool TryByteLength(IReadOnlyList<long> shape, TensorType type, out long bytes)
    {
        bytes = 0;
        UInt128 product = (UInt128)type.ElementSize();
        foreach (long dimension in shape)
        {
            if (dimension == 0)
            {
                return true;
            }
        }

        foreach (long dimension in shape)
        {
            product *= (UInt128)dimension;
            if (product > (UInt128)long.MaxValue)
            {
                return false;
            }
        }

        bytes = (long)product;
        return true;
    }

    private static TensorType ReadType(string file, string name, ref Utf8JsonReader reader)
    {
        if (reader.TokenType != JsonTokenType.String)
        {
            throw new CheckpointException(file, name, $"dtype is {Describe(reader.TokenType)}, expected one of {TensorTypeExtensions.AllNames}");
        }

        string text = reader.GetString()!;
        return TensorTypeExtensions.TryParse(text, out TensorType type)
            ? type
            : throw new CheckpointException(file, name,
                $"dtype is \"{CheckpointException.Printable(text)}\", expected one of {TensorTypeExtensions.AllNames}");
    }

    private static List<long> ReadNumbers(string file, string name, string key, ref Utf8JsonReader reader, int most)
    {
        if (reader.TokenType != JsonTokenType.StartArray)
        {
            throw new CheckpointException(file, name, $"{key} is {Describe(reader.TokenType)}, expected an array of whole numbers");
        }

        List<long> numbers = [];
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (reader.TokenType != JsonTokenType.Number || !reader.TryGetInt64(out long number) || number < 0)
            {
                throw new CheckpointException(file, name,
                    $"{key} holds {Describe(reader.TokenType)} that is no whole number from 0 to 2^63-1");
            }

            if (numbers.Count == most)
            {
                throw new CheckpointException(file, name, $"{key} holds more than {most} numbers");
            }

            numbers.Add(number);
        }

        return numbers;
    }

    private static void CheckLayout(string file, IEnumerable<TensorEntry> tensors, long dataStart, long dataLength)
    {
        TensorEntry[] ordered = [.. tensors.OrderBy(t => t.Offset).ThenBy(t => t.ByteLength).ThenBy(t => t.Name, StringComparer.Ordinal)];
        long described = 0;
        foreach (TensorEntry entry in ordered)
        {
            described = Math.Max(described, entry.Offset - dataStart + entry.ByteLength);
        }

        if (described > dataLength)
        {
            TensorEntry first = ordered.First(t => t.Offset - dataStart + t.ByteLength > dataLength);
            throw new CheckpointException(file, first.Name, $"the file ends early: the header describes {described} data bytes "
                + $"and only {dataLength} are present (this tensor is the first that reaches past the end)");
        }

        long end = 0;
        TensorEntry? previous = null;
        foreach (TensorEntry entry in ordered)
        {
            long begin = entry.Offset - dataStart;
            if (begin < end)
            {
                throw new CheckpointException(file, entry.Name,
                    $"overlaps tensor {CheckpointException.Printable(previous!.Name)}: begins at data byte {begin}, expected {end}");
            }

            if (begin > end)
            {
                throw new CheckpointException(file, entry.Name,
                    $"data bytes {end} to {begin} before it belong to no tensor, expected tensors without holes");
            }

            end = begin + entry.ByteLength;
            previous = entry;
        }

        if (end != dataLength)
        {
            throw new CheckpointException(file, $"the header describes {end} data bytes and {dataLength} are present; "
                + $"the last {dataLength - end} belong to no tensor");
        }
    }

    private static string Describe(JsonTokenType token) => token switch
    {
        JsonTokenType.StartObject => "an object",
        JsonTokenType.StartArray => "an array",
        JsonTokenType.String => "a text",
        JsonTokenType.Number => "a number",
        JsonTokenType.True or JsonTokenType.False => "a truth value",
        JsonTokenType.Null => "null",
        _ => "nothing",
    };
}
