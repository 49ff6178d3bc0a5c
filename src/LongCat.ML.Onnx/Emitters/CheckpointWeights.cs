using System.Runtime.InteropServices;
using LongCat.ML.Checkpoints;
using LongCat.ML.Quantization;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx;

/// <summary>Names the tensors of a checkpoint as sources for the external data. A matrix gets the export's precision, a vector stays float32.</summary>
internal sealed class CheckpointWeights(Checkpoint checkpoint, WeightPrecision precision, Equalization? equalization = null)
{
    /// <summary>The ONNX type of matrices and tables.</summary>
    public ElementType MatrixType { get; } = precision == WeightPrecision.BF16 ? ElementType.Bfloat16 : ElementType.Float;

    /// <summary>Whether projections are stored in blocks of 4-bit numbers.</summary>
    public bool Int4 { get; } = precision == WeightPrecision.Int4;

    /// <summary>Weights of a row that share a scale, with <see cref="Int4"/>.</summary>
    public int Int4BlockSize { get; init; } = 32;

    /// <summary>Whether the output head is one of them.</summary>
    public bool Int4Head { get; init; } = true;

    /// <summary>Modules for whose adapters a graph with standard operators has inputs.</summary>
    public IReadOnlySet<string> AdapterInputs { get; init; } = new HashSet<string>();

    /// <summary>The same tensors with an equalization folded in: columns of matrices multiplied, gains of norms divided.</summary>
    public CheckpointWeights Folded(Equalization? folded) => new(checkpoint, precision, folded);

    /// <summary>A weight matrix or an embedding table, in the export's precision.</summary>
    public TensorSource Matrix(string name) => Tensor(name, MatrixType);

    /// <summary>A weight matrix that only MatMul reads, in the export's precision and in panels. One that something else reads too is a <see cref="Matrix"/>.</summary>
    public TensorSource Projection(string name) => new PanelTensor(Matrix(name));

    /// <summary>The same in float32 whatever the precision.</summary>
    public TensorSource Float32Projection(string name) => new PanelTensor(Float32(name));

    /// <summary>The up or (with <paramref name="columns"/>) the down projection of a gated MLP by its channels, in the export's precision.</summary>
    public TensorSource Channels(string name, bool columns) => new ChannelTensor(Matrix(name), columns);

    /// <summary>A norm's weight, a router's matrix or a bias: float32 whatever the precision.</summary>
    public TensorSource Float32(string name) => Tensor(name, ElementType.Float);

    /// <summary>A float32 tensor put together from rows of the checkpoint's.</summary>
    public TensorSource Rows(string key, IReadOnlyList<long> shape, IEnumerable<RowRange> ranges, int zeros = 0) => new RowsTensor(key, checkpoint, shape, ranges, zeros);

    /// <summary>A vector times a number, float32.</summary>
    public TensorSource Scaled(string name, double factor)
    {
        float[] values = checkpoint.ReadFloat32(name);
        return new ComputedTensor($"{name}:scaled", [.. values.Select(value => (float)(value * factor))], values.Length);
    }

    /// <summary>A table of which only rows are read, as it is stored: bfloat16 stays bfloat16, everything else becomes float32.</summary>
    public TensorSource Table(string name) =>
        new CheckpointTensor(checkpoint, name, checkpoint.Entry(name).Type == TensorType.BFloat16 ? ElementType.Bfloat16 : ElementType.Float);

    /// <summary>N of a matrix [N, K].</summary>
    public int RowCount(string name) => checked((int)checkpoint.Entry(name).Shape[0]);

    /// <summary>K of a matrix [N, K].</summary>
    public int Columns(string name) => checked((int)checkpoint.Entry(name).Shape[1]);

    /// <summary>Consecutive elements of a tensor in float32; of one with folded factors whole rows.</summary>
    public void ReadFloat32(string name, long firstElement, Span<float> destination)
    {
        checkpoint.ReadFloat32(name, firstElement, destination);
        Fold(name, firstElement, destination);
    }

    /// <summary>Rows of a tensor, all of them.</summary>
    public RowRange AllRows(string name) => new(name, 0, checkpoint.Tensors[name].Shape[0]);

    /// <summary>Equal matrices one after another, each in panels, as [count, …]: the experts of a layer.</summary>
    public TensorSource ProjectionStack(string key, IEnumerable<string> names) => new StackedTensor($"{key}:panels", [.. names.Select(Projection)]);

    private TensorSource Tensor(string name, ElementType type) =>
        equalization?.ColumnFactors(name) is null && equalization?.NormDivisors(name) is null ? new CheckpointTensor(checkpoint, name, type) : new FoldedTensor(this, checkpoint.Entry(name), type);

    private void Fold(string name, long firstElement, Span<float> values)
    {
        if (equalization?.ColumnFactors(name) is { } factors)
        {
            for (int i = 0; i < values.Length; i++)
            {
                values[i] *= factors[(firstElement + i) % factors.Length];
            }
        }
        else if (equalization?.NormDivisors(name) is { } divisors)
        {
            for (int i = 0; i < values.Length; i++)
            {
                values[i] /= divisors[firstElement + i];
            }
        }
    }

    private sealed class CheckpointTensor(Checkpoint checkpoint, string name, ElementType type)
        : TensorSource($"{name}:{type}", type, checkpoint.Tensors[name].Shape)
    {
        public override void CopyTo(Stream destination) =>
            checkpoint.CopyTo(name, Type == ElementType.Bfloat16 ? TensorType.BFloat16 : TensorType.Float32, destination);
    }

    /// <summary>A tensor whose values are computed on the way, some rows at a time.</summary>
    private sealed class FoldedTensor(CheckpointWeights weights, TensorEntry tensor, ElementType type) : TensorSource($"{tensor.Name}:{type}", type, tensor.Shape)
    {
        private const int BlockElements = 1 << 18;

        public override void CopyTo(Stream destination)
        {
            long width = tensor.Shape[^1], total = tensor.ElementCount;
            float[] block = new float[Math.Min(total, Math.Max(1, BlockElements / width) * width)];
            ushort[] narrow = new ushort[Type == ElementType.Float ? 0 : block.Length];
            for (long first = 0; first < total; first += block.Length)
            {
                Span<float> values = block.AsSpan(0, (int)Math.Min(block.Length, total - first));
                weights.ReadFloat32(tensor.Name, first, values);
                if (Type == ElementType.Float)
                {
                    destination.Write(MemoryMarshal.AsBytes(values));
                    continue;
                }

                for (int i = 0; i < values.Length; i++)
                {
                    narrow[i] = Nearest(BitConverter.SingleToUInt32Bits(values[i]));
                }

                destination.Write(MemoryMarshal.AsBytes(narrow.AsSpan(0, values.Length)));
            }
        }

        /// <summary>bfloat16, ties to even; a NaN stays one.</summary>
        private static ushort Nearest(uint bits) =>
            (bits & 0x7FFF_FFFF) > 0x7F80_0000 ? (ushort)((bits >> 16) | 0x0040) : (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }
}
