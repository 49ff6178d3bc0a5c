using System.Buffers.Binary;
using System.Runtime.InteropServices;
using LongCat.ML.Checkpoints;
using LongCat.ML.Onnx.Adapters;
using LongCat.ML.Quantization;
using Microsoft.Win32.SafeHandles;

namespace LongCat.ML.Inference.Adapters;

/// <summary>
/// The matrix W [N, K] of a module as an exported folder holds it (rows, panels, packed integers), read back as floats: the weights that the model really multiplies with.
/// The layouts: docs/design.md section 4.
/// </summary>
internal sealed class BaseMatrix : IDisposable
{
    private const int FloatPanel = 16, IntegerPanel = 64, StepLevels = 8, StepBytes = 256, ByteLevels = 4;
    private readonly AdaptableModule _module;
    private readonly SafeFileHandle _file;
    private readonly int _inFeatures;
    private readonly float[]? _scales;

    private BaseMatrix(AdaptableModule module, SafeFileHandle file, int inFeatures)
    {
        _module = module;
        _file = file;
        _inFeatures = inFeatures;
        OutFeatures = checked((int)module.OutFeatures);
        _scales = module.Scale is { } scale ? MemoryMarshal.Cast<byte, float>(Bytes(scale, 0, (long)OutFeatures * sizeof(float))).ToArray() : null;
    }

    /// <summary>N.</summary>
    public int OutFeatures { get; }

    /// <summary>Rows that lie together: <see cref="Read"/> begins at multiples of it.</summary>
    public int BlockRows => _module.Operator is "W4A8MatMul" or "W8A8MatMul" || _module.Layout == 0 ? IntegerPanel : FloatPanel;

    /// <summary>Opens a module's matrix.</summary>
    /// <param name="folder">The exported folder.</param>
    /// <param name="module">The module.</param>
    /// <param name="inFeatures">K; bfloat16 panels do not tell an odd one.</param>
    /// <exception cref="CheckpointException">The data file does not hold what the graph says.</exception>
    /// <exception cref="IOException">The data file cannot be read.</exception>
    public static BaseMatrix Open(string folder, AdaptableModule module, int inFeatures)
    {
        string path = Path.Combine(folder, ModelManifest.DataFileName);
        SafeFileHandle file = File.OpenHandle(path);
        try
        {
            long bytes = RandomAccess.GetLength(file);
            foreach (AdaptableTensor tensor in module.Scale is { } scale ? [module.Weight, scale] : new[] { module.Weight })
            {
                if (tensor.Location != ModelManifest.DataFileName || tensor.Offset < 0 || tensor.Length < 0 || tensor.Offset > bytes - tensor.Length)
                {
                    throw new CheckpointException(
                        path, $"the graph says that {tensor.Name} lies in '{tensor.Location}' at {tensor.Offset} with {tensor.Length} bytes; this file has {bytes} bytes. Export the model again.");
                }
            }

            return new BaseMatrix(module, file, inFeatures);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Reads consecutive rows. Safe to call from several threads.</summary>
    /// <param name="first">The first row, a multiple of <see cref="BlockRows"/>.</param>
    /// <param name="count">How many, at most <see cref="BlockRows"/>.</param>
    /// <param name="rows">Receives [count, K], row-major.</param>
    public void Read(int first, int count, Span<float> rows)
    {
        switch (_module.Operator, _module.Layout)
        {
            case ("W4A8MatMul", _):
                ReadLevels(first, count, rows);
                break;
            case ("W8A8MatMul", _):
                ReadBytes(first, count, rows);
                break;
            case (_, 0):
                ReadRows(first, count, rows);
                break;
            default:
                ReadPanel(first, count, rows);
                break;
        }
    }

    public void Dispose() => _file.Dispose();

    private bool IsBFloat16 => _module.Weight.ElementType == 16;

    private void ReadRows(int first, int count, Span<float> rows)
    {
        int size = IsBFloat16 ? sizeof(ushort) : sizeof(float);
        byte[] bytes = Bytes(_module.Weight, (long)first * _inFeatures * size, (long)count * _inFeatures * size);
        if (IsBFloat16)
        {
            ReadOnlySpan<ushort> halves = MemoryMarshal.Cast<byte, ushort>(bytes);
            for (int i = 0; i < halves.Length; i++)
            {
                rows[i] = Widen(halves[i]);
            }
        }
        else
        {
            MemoryMarshal.Cast<byte, float>(bytes).CopyTo(rows);
        }
    }

    /// <summary>float32 [K, 16], bfloat16 [ceil(K/2), 16, 2].</summary>
    private void ReadPanel(int first, int count, Span<float> rows)
    {
        int depth = IsBFloat16 ? 2 : 1;
        int steps = (_inFeatures + depth - 1) / depth;
        long panelBytes = (long)steps * FloatPanel * sizeof(float);
        byte[] bytes = Bytes(_module.Weight, first / FloatPanel * panelBytes, panelBytes);
        ReadOnlySpan<float> floats = MemoryMarshal.Cast<byte, float>(bytes);
        ReadOnlySpan<ushort> halves = MemoryMarshal.Cast<byte, ushort>(bytes);
        for (int row = 0; row < count; row++)
        {
            for (int k = 0; k < _inFeatures; k++)
            {
                rows[(row * _inFeatures) + k] = IsBFloat16
                    ? Widen(halves[(((k / 2 * FloatPanel) + row) * 2) + (k % 2)])
                    : floats[(k * FloatPanel) + row];
            }
        }
    }

    /// <summary>Groups of steps of 64 lanes of eight levels, behind each group its scales (kernels/include/longcat/w4a8_matmul.h).</summary>
    private void ReadLevels(int first, int count, Span<float> rows)
    {
        long panelBytes = W4A8Packing.PanelBytes(_inFeatures, _module.GroupSize, _module.GroupScaleBytes);
        ReadOnlySpan<byte> at = Bytes(_module.Weight, first / IntegerPanel * panelBytes, panelBytes);
        int group = _module.GroupSize == 0 ? _inFeatures : _module.GroupSize;
        for (int start = 0; start < _inFeatures; start += group)
        {
            int length = Math.Min(group, _inFeatures - start);
            int steps = (length + StepLevels - 1) / StepLevels;
            ReadOnlySpan<byte> groupScales = at.Slice(steps * StepBytes, _module.GroupScaleBytes * IntegerPanel);
            for (int row = 0; row < count; row++)
            {
                int groupScale = _module.GroupScaleBytes switch
                {
                    0 => 1,
                    1 => (sbyte)groupScales[row],
                    _ => BinaryPrimitives.ReadInt16LittleEndian(groupScales[(row * 2)..]),
                };
                float scale = _scales![first + row] * groupScale;
                for (int k = 0; k < length; k++)
                {
                    byte pair = at[(k / StepLevels * StepBytes) + (row * 4) + (k % 4)];
                    rows[(row * _inFeatures) + start + k] = scale * ((k % StepLevels < 4 ? pair & 15 : pair >> 4) - 8);
                }
            }

            at = at[((steps * StepBytes) + groupScales.Length)..];
        }
    }

    /// <summary>Bytes [ceil(K/4), 64, 4], level + 128.</summary>
    private void ReadBytes(int first, int count, Span<float> rows)
    {
        long panelBytes = Int8Packing.PackedBytes(IntegerPanel, _inFeatures);
        byte[] bytes = Bytes(_module.Weight, first / IntegerPanel * panelBytes, panelBytes);
        for (int row = 0; row < count; row++)
        {
            for (int k = 0; k < _inFeatures; k++)
            {
                rows[(row * _inFeatures) + k] = _scales![first + row] * (bytes[(k / ByteLevels * StepBytes) + (row * ByteLevels) + (k % ByteLevels)] - 128);
            }
        }
    }

    private static float Widen(ushort half) => BitConverter.UInt32BitsToSingle((uint)half << 16);

    /// <summary>A part of a tensor.</summary>
    /// <exception cref="CheckpointException">The tensor is shorter than its layout says.</exception>
    private byte[] Bytes(AdaptableTensor tensor, long from, long length)
    {
        if (from + length > tensor.Length)
        {
            throw new CheckpointException(
                ModelManifest.DataFileName, $"{tensor.Name} of {_module.Module} has {tensor.Length} bytes; [{_module.OutFeatures}, {_inFeatures}] for {_module.Operator} needs {from + length}. Export the model again.");
        }

        byte[] bytes = new byte[length];
        int done = 0;
        while (done < bytes.Length)
        {
            int read = RandomAccess.Read(_file, bytes.AsSpan(done), tensor.Offset + from + done);
            if (read == 0)
            {
                throw new CheckpointException(ModelManifest.DataFileName, $"the file ends inside {tensor.Name}. Export the model again.");
            }

            done += read;
        }

        return bytes;
    }
}
