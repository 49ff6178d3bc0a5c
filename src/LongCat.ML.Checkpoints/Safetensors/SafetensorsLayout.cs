using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace LongCat.ML.Checkpoints;

/// <summary>Decides where each tensor of a new file lies and what its header says; the same input gives the same bytes.</summary>
internal static class SafetensorsLayout
{
    public static (byte[] Header, Dictionary<string, TensorEntry> Entries, long FileLength) Arrange(
        string path, IEnumerable<TensorDeclaration> tensors, IReadOnlyDictionary<string, string>? metadata)
    {
        TensorDeclaration[] ordered = [.. tensors.OrderByDescending(t => t.Type.ElementSize()).ThenBy(t => t.Name, StringComparer.Ordinal)];
        long[] lengths = [.. ordered.Select(CheckedLength)];
        byte[] header = Header(ordered, lengths, metadata);
        if (header.Length > SafetensorsHeader.LongestHeader)
        {
            throw new ArgumentException(
                $"the header would be {header.Length} bytes long, expected at most {SafetensorsHeader.LongestHeader}; declare fewer tensors", nameof(tensors));
        }

        Dictionary<string, TensorEntry> entries = new(ordered.Length, StringComparer.Ordinal);
        long offset = sizeof(ulong) + (long)header.Length;
        for (int i = 0; i < ordered.Length; i++)
        {
            TensorDeclaration tensor = ordered[i];
            if (!entries.TryAdd(tensor.Name, new TensorEntry(tensor.Name, tensor.Type, [.. tensor.Shape], path, offset, lengths[i])))
            {
                throw new ArgumentException($"tensor {tensor.Name} is declared twice", nameof(tensors));
            }

            offset = lengths[i] <= long.MaxValue - offset
                ? offset + lengths[i]
                : throw new ArgumentException($"the tensors up to {tensor.Name} need more than 2^63 bytes", nameof(tensors));
        }

        return (header, entries, offset);
    }

    private static long CheckedLength(TensorDeclaration tensor)
    {
        if (string.IsNullOrEmpty(tensor.Name) || tensor.Name == "__metadata__")
        {
            throw new ArgumentException($"\"{tensor.Name}\" is declared as a tensor's name, expected one that is neither empty nor reserved");
        }

        if (tensor.Shape.Count > SafetensorsHeader.MostDimensions || tensor.Shape.Any(d => d < 0))
        {
            throw new ArgumentException($"tensor {tensor.Name} is declared with shape {TensorEntry.ShapeText(tensor.Shape)}, "
                + $"expected at most {SafetensorsHeader.MostDimensions} dimensions and none negative");
        }

        return SafetensorsHeader.TryByteLength(tensor.Shape, tensor.Type, out long bytes)
            ? bytes
            : throw new ArgumentException($"tensor {tensor.Name} is declared with shape {TensorEntry.ShapeText(tensor.Shape)}, which needs more than 2^63 bytes");
    }

    private static byte[] Header(TensorDeclaration[] ordered, long[] lengths, IReadOnlyDictionary<string, string>? metadata)
    {
        ArrayBufferWriter<byte> buffer = new();
        using (Utf8JsonWriter json = new(buffer, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            if (metadata is { Count: > 0 })
            {
                json.WriteStartObject("__metadata__");
                foreach ((string key, string value) in metadata.OrderBy(m => m.Key, StringComparer.Ordinal))
                {
                    json.WriteString(key, value);
                }

                json.WriteEndObject();
            }

            long begin = 0;
            for (int i = 0; i < ordered.Length; i++)
            {
                json.WriteStartObject(ordered[i].Name);
                json.WriteString("dtype", ordered[i].Type.SafetensorsName());
                json.WriteStartArray("shape");
                foreach (long dimension in ordered[i].Shape)
                {
                    json.WriteNumberValue(dimension);
                }

                json.WriteEndArray();
                json.WriteStartArray("data_offsets");
                json.WriteNumberValue(begin);
                begin = unchecked(begin + lengths[i]);
                json.WriteNumberValue(begin);
                json.WriteEndArray();
                json.WriteEndObject();
            }

            json.WriteEndObject();
        }

        // Spaces up to a multiple of 8, so that the data section is aligned.
        int padding = (8 - (buffer.WrittenCount % 8)) % 8;
        buffer.GetSpan(padding)[..padding].Fill((byte)' ');
        buffer.Advance(padding);
        return buffer.WrittenSpan.ToArray();
    }
}
