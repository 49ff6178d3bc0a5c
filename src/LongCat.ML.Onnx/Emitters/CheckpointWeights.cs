using LongCat.ML.Checkpoints;
using ElementType = LongCat.ML.Onnx.Messages.TensorProto.Types.DataType;

namespace LongCat.ML.Onnx;

/// <summary>Names the tensors of a checkpoint as sources for the external data. A matrix gets the export's precision, a vector stays float32.</summary>
internal sealed class CheckpointWeights(Checkpoint checkpoint, WeightPrecision precision)
{
    /// <summary>The ONNX type of matrices and tables.</summary>
    public ElementType MatrixType { get; } = precision == WeightPrecision.BF16 ? ElementType.Bfloat16 : ElementType.Float;

    /// <summary>Whether projections are stored in blocks of 4-bit numbers.</summary>
    public bool Int4 { get; } = precision == WeightPrecision.Int4;

    /// <summary>A weight matrix or an embedding table, in the export's precision.</summary>
    public TensorSource Matrix(string name) => new CheckpointTensor(checkpoint, name, MatrixType);

    /// <summary>A weight matrix that only MatMul reads, in the export's precision and in panels. One that something else reads too is a <see cref="Matrix"/>.</summary>
    public TensorSource Projection(string name) => new PanelTensor(Matrix(name));

    /// <summary>A norm's weight, a router's matrix or a bias: float32 whatever the precision.</summary>
    public TensorSource Float32(string name) => new CheckpointTensor(checkpoint, name, ElementType.Float);

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

    /// <summary>Rows of a tensor, all of them.</summary>
    public RowRange AllRows(string name) => new(name, 0, checkpoint.Tensors[name].Shape[0]);

    /// <summary>Equal matrices one after another, each in panels, as [count, …]: the experts of a layer.</summary>
    public TensorSource ProjectionStack(string key, IEnumerable<string> names) => new StackedTensor($"{key}:panels", [.. names.Select(Projection)]);

    private sealed class CheckpointTensor(Checkpoint checkpoint, string name, ElementType type)
        : TensorSource($"{name}:{type}", type, checkpoint.Tensors[name].Shape)
    {
        public override void CopyTo(Stream destination) =>
            checkpoint.CopyTo(name, Type == ElementType.Bfloat16 ? TensorType.BFloat16 : TensorType.Float32, destination);
    }
}
