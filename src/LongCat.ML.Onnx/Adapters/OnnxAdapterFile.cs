using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using LongCat.ML.Checkpoints;

namespace LongCat.ML.Onnx.Adapters;

/// <summary>
/// Writes ONNX Runtime's adapter files (<c>.onnx_adapter</c>, since 1.20): the matrices of one adapter under the names of the inputs that an export with
/// <see cref="ExportOptions.AdapterInputs"/> has. <c>OrtLoraAdapter.Create</c> maps such a file, <c>RunOptions.AddActiveLoraAdapter</c> gives it to a run.
/// </summary>
/// <remarks>
/// The format is FlatBuffers with the identifier TORT: a table of versions and parameters (name, dims, ONNX's number of the element type, bytes aligned to 8).
/// Thread safety: static and without state.
/// </remarks>
public static class OnnxAdapterFile
{
    /// <summary>The usual ending of such files.</summary>
    public const string Extension = ".onnx_adapter";

    private const int FormatVersion = 1, Float32 = 1;

    /// <summary>FlatBuffers' own limit: offsets are 32 bits.</summary>
    private const long MostBytes = int.MaxValue;

    /// <summary>Writes an adapter: A [K, r] and B [r, N] in float32, both transposed against PEFT, the scale multiplied into B. The file is whole or absent.</summary>
    /// <param name="path">The file; one that exists is replaced.</param>
    /// <param name="adapter">The adapter. It keeps its own ranks and scales per module (rank and alpha patterns).</param>
    /// <param name="adapterVersion">A number of the caller's, stored in the file.</param>
    /// <param name="modelVersion">A number of the caller's, stored in the file.</param>
    /// <exception cref="AdapterException">
    /// Two low-rank matrices cannot express the adapter: DoRA, a bias of B, whole saved modules, an embedding, AFA-LoRA still annealing; or a module lies where no export has
    /// inputs (experts); or the file would pass 2 GiB. The message says what to do.
    /// </exception>
    /// <exception cref="IOException">The file cannot be written; nothing is left under its name.</exception>
    public static void Write(string path, PeftAdapter adapter, int adapterVersion = 1, int modelVersion = 1)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentNullException.ThrowIfNull(adapter);
        Check(adapter);
        Parameter[] parameters = [.. adapter.Modules.Values.SelectMany(matrix => (Parameter[])
        [
            new(AdapterNames.A(matrix.Module), matrix.In, matrix.Rank, () => Transposed(matrix.A, matrix.Rank, matrix.In, 1)),
            new(AdapterNames.B(matrix.Module), matrix.Rank, matrix.Out, () => Transposed(matrix.B, matrix.Out, matrix.Rank, matrix.Scale)),
        ])];
        long length = Place(parameters);
        if (length > MostBytes)
        {
            throw new AdapterException(adapter.Name, $"takes {length} bytes, and {Extension} files have at most {MostBytes}; merge the adapter instead: longcat export <checkpoint> --adapter <peft folder>");
        }

        path = Path.GetFullPath(path);
        string partial = Path.Combine(Path.GetDirectoryName(path)!, $".{Path.GetFileName(path)}.partial-{Guid.NewGuid():N}");
        try
        {
            using (FileStream file = new(partial, FileMode.CreateNew))
            {
                Write(file, parameters, adapterVersion, modelVersion);
                file.Flush(flushToDisk: true);
            }

            File.Move(partial, path, overwrite: true);
        }
        catch
        {
            File.Delete(partial);
            throw;
        }
    }

    private static void Check(PeftAdapter adapter)
    {
        const string Merge = "merge it into an export instead: longcat export <checkpoint> --adapter <peft folder>";
        if (adapter.Beta != 0)
        {
            throw new AdapterException(adapter.Name, FormattableString.Invariant($"is still annealing, β = {adapter.Beta:R}: what it computes is no product of two matrices yet. Train it to the end"));
        }

        if (adapter.SavedModules.Count > 0)
        {
            throw new AdapterException(adapter.Name, adapter.SavedModules.Keys.First(), $"is saved whole, and {Extension} files hold low-rank matrices alone; {Merge}");
        }

        foreach (AdapterMatrix matrix in adapter.Modules.Values)
        {
            string? problem =
                matrix.Magnitude is not null ? "has magnitudes (DoRA), which two matrices cannot express"
                : matrix.Bias is not null ? "has a bias of B (lora_bias), which two matrices cannot express"
                : matrix.Kind != AdapterKind.Linear ? "is an embedding, for which no export has inputs"
                : matrix.Module.Contains(".experts.", StringComparison.Ordinal) ? "is an expert's, for which no export has inputs"
                : null;
            if (problem is not null)
            {
                throw new AdapterException(adapter.Name, matrix.Module, $"{problem}; {Merge}");
            }
        }
    }

    private static float[] Transposed(float[] values, int rows, int columns, double scale)
    {
        float[] result = new float[values.Length];
        for (int row = 0; row < rows; row++)
        {
            for (int column = 0; column < columns; column++)
            {
                result[(column * rows) + row] = scale == 1 ? values[(row * columns) + column] : (float)(values[(row * columns) + column] * scale);
            }
        }

        return result;
    }

    // The file, front to back; offsets point forward, those to a table's layout back:
    //   0   offset of the root, "TORT"
    //   8   layout (vtable) of the root, its table: three versions, the offset of the list; the list: a count, the offset of each parameter
    //       layout of all parameters; then for each: its table, its name, its dims (8-byte aligned), its bytes (8-byte aligned)
    private const int RootLayout = 8, RootTable = 20, List = RootTable + 20;

    /// <summary>Finds the places.</summary>
    /// <returns>The file's length.</returns>
    private static long Place(Parameter[] parameters)
    {
        long at = Aligned(ParameterLayout(parameters) + 12, 4);
        foreach (Parameter parameter in parameters)
        {
            parameter.Table = at;
            parameter.NameAt = parameter.Table + 20;
            parameter.DimsAt = Aligned(parameter.NameAt + 4 + Encoding.UTF8.GetByteCount(parameter.Name) + 1 + 4, 8) - 4;
            parameter.DataAt = parameter.DimsAt + 4 + 16 + 4;
            at = parameter.DataAt + 4 + (4L * parameter.Rows * parameter.Columns);
        }

        return Aligned(at, 8);
    }

    private static long ParameterLayout(Parameter[] parameters) => Aligned(List + 4 + (4L * parameters.Length), 4);

    private static long Aligned(long at, long step) => (at + step - 1) / step * step;

    private static void Write(FileStream file, Parameter[] parameters, int adapterVersion, int modelVersion)
    {
        Writer writer = new(file);
        writer.Int(RootTable);
        writer.Bytes("TORT"u8);
        writer.Layout(fields: 4, RootLayout);
        writer.Int(RootTable - RootLayout, RootTable);
        writer.Int(FormatVersion);
        writer.Int(adapterVersion);
        writer.Int(modelVersion);
        writer.Offset(List);
        writer.Int(parameters.Length, List);
        foreach (Parameter parameter in parameters)
        {
            writer.Offset(parameter.Table);
        }

        long layout = ParameterLayout(parameters);
        writer.Layout(fields: 4, layout);
        foreach (Parameter parameter in parameters)
        {
            writer.Int(checked((int)(parameter.Table - layout)), parameter.Table);
            writer.Offset(parameter.NameAt);
            writer.Offset(parameter.DimsAt);
            writer.Int(Float32);
            writer.Offset(parameter.DataAt);
            byte[] name = Encoding.UTF8.GetBytes(parameter.Name);
            writer.Int(name.Length, parameter.NameAt);
            writer.Bytes(name);
            writer.Bytes([0]);
            writer.Int(2, parameter.DimsAt);
            writer.Long(parameter.Rows);
            writer.Long(parameter.Columns);
            float[] values = parameter.Values();
            writer.Int(checked(4 * values.Length), parameter.DataAt);
            writer.Bytes(MemoryMarshal.AsBytes<float>(values));
        }

        writer.PadTo(Place(parameters));
    }

    /// <summary>One tensor; its values are made when they are written.</summary>
    private sealed record Parameter(string Name, int Rows, int Columns, Func<float[]> Values)
    {
        public long Table { get; set; }

        public long NameAt { get; set; }

        public long DimsAt { get; set; }

        public long DataAt { get; set; }
    }

    private sealed class Writer(Stream stream)
    {
        private long _position;

        /// <summary>Where fields lie in their table: four of 4 bytes behind the offset of the layout itself.</summary>
        public void Layout(int fields, long at)
        {
            PadTo(at);
            Short(4 + (2 * fields));
            Short(4 + (4 * fields));
            for (int i = 0; i < fields; i++)
            {
                Short(4 + (4 * i));
            }
        }

        /// <summary>The distance from here to <paramref name="target"/>.</summary>
        public void Offset(long target) => Int(checked((int)(target - _position)));

        public void Int(int value, long at)
        {
            PadTo(at);
            Int(value);
        }

        public void Int(int value)
        {
            Span<byte> bytes = stackalloc byte[4];
            BinaryPrimitives.WriteInt32LittleEndian(bytes, value);
            Bytes(bytes);
        }

        public void Long(long value)
        {
            Span<byte> bytes = stackalloc byte[8];
            BinaryPrimitives.WriteInt64LittleEndian(bytes, value);
            Bytes(bytes);
        }

        public void Bytes(ReadOnlySpan<byte> bytes)
        {
            stream.Write(bytes);
            _position += bytes.Length;
        }

        public void PadTo(long at)
        {
            while (_position < at)
            {
                Bytes([0]);
            }
        }

        private void Short(int value)
        {
            Span<byte> bytes = stackalloc byte[2];
            BinaryPrimitives.WriteUInt16LittleEndian(bytes, checked((ushort)value));
            Bytes(bytes);
        }
    }
}
