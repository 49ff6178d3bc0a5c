using LongCat.ML.Checkpoints;
using LongCat.ML.Quantization;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>
/// A linear layer, <c>x · Wᵀ + b</c>, whose matrix may be float32 and trained, or frozen in bfloat16 or 4 bits (<see cref="BaseWeights"/>), and on which an adapter may sit.
/// </summary>
/// <remarks>
/// State: <c>weight</c> [out, in], absent while it is quantized, and <c>bias</c> [out] where there is one. An adapter's tensors are not part of the state. Forward
/// passes without gradient may run from several threads.
/// </remarks>
public sealed class Projection : nn.Module<Tensor, Tensor>, IDenseWeight
{
    // What is not part of the state lies in an object of its own: tensors in fields would be registered.
    private readonly Extras _extras = new();
    private Parameter? weight;
    private Parameter? bias;

    /// <summary>Creates the layer with random weights, or, within a load, with weights that are yet to be read.</summary>
    /// <param name="inFeatures">Width of the input, at least 1.</param>
    /// <param name="outFeatures">Width of the output, at least 1.</param>
    /// <param name="hasBias">Whether a vector is added.</param>
    /// <exception cref="ArgumentOutOfRangeException">A width below 1.</exception>
    public Projection(long inFeatures, long outFeatures, bool hasBias = false)
        : this(inFeatures, outFeatures, hasBias, ProjectionPrecision.FourBit)
    {
    }

    internal Projection(long inFeatures, long outFeatures, bool hasBias, ProjectionPrecision precision)
        : base(nameof(Projection))
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(inFeatures, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(outFeatures, 1);
        (InFeatures, OutFeatures, Precision) = (inFeatures, outFeatures, precision);
        using var scope = NewDisposeScope();
        WeightAllocation? load = WeightAllocation.Current;
        if (load?.Weights != BaseWeights.W4A8 || precision is ProjectionPrecision.Full or ProjectionPrecision.Half)
        {
            ScalarType type = load is null || precision == ProjectionPrecision.Full ? ScalarType.Float32 : load.TableType;
            _extras.Narrow = type != ScalarType.Float32;
            var values = empty(outFeatures, inFeatures, type);
            if (load is null)
            {
                nn.init.kaiming_uniform_(values, a: Math.Sqrt(5));
            }

            weight = new Parameter(values, requires_grad: !_extras.Narrow);
            weight.DetachFromDisposeScope();
        }

        if (hasBias)
        {
            double bound = 1 / Math.Sqrt(inFeatures);
            var values = empty(outFeatures);
            bias = new Parameter(load is null ? nn.init.uniform_(values, -bound, bound) : values);
            bias.DetachFromDisposeScope();
        }

        RegisterComponents();
    }

    /// <summary>Width of the input.</summary>
    public long InFeatures { get; }

    /// <summary>Width of the output.</summary>
    public long OutFeatures { get; }

    /// <summary>The matrix [out, in] in float32 or bfloat16; null while it is quantized.</summary>
    public Parameter? Weight => weight;

    /// <summary>The vector that is added [out], or null.</summary>
    public Parameter? Bias => bias;

    internal ProjectionPrecision Precision { get; }

    /// <summary>Whether the matrix cannot be trained itself: bfloat16, 4 or 8 bits.</summary>
    internal bool IsFrozen => _extras.Narrow || _extras.Quantized is not null;

    internal bool IsQuantized => _extras.Quantized is not null;

    internal LinearAdapter? Adapter
    {
        get => _extras.Adapter;
        set => _extras.Adapter = value;
    }

    /// <summary>A trained copy that stands in for the layer's own matrix (modules_to_save), float32, or null.</summary>
    internal Parameter? Saved
    {
        get => _extras.Saved;
        set => _extras.Saved = value;
    }

    /// <summary>Whether the layer's product is one with its own float32 matrix.</summary>
    internal bool IsPlain => _extras is { Saved: null, Narrow: false, Quantized: null };

    /// <summary>Bytes of the matrix.</summary>
    internal long WeightBytes => _extras.Quantized?.Bytes ?? (weight!.NumberOfElements * weight.ElementSize);

    /// <summary>Applies the layer and its adapter.</summary>
    /// <param name="input">[.., in].</param>
    /// <returns>[.., out], owned by the caller's dispose scope.</returns>
    public override Tensor forward(Tensor input) => _extras.Adapter is { } adapter ? adapter.Forward(this, input) : Product(input);

    /// <summary>The layer without its adapter.</summary>
    /// <param name="input">[.., in].</param>
    /// <param name="withBias">Whether the vector is added.</param>
    internal Tensor Product(Tensor input, bool withBias = true)
    {
        Extras extras = _extras;
        if (extras.Saved is { } saved)
        {
            return nn.functional.linear(input, saved, withBias ? bias : null);
        }

        if (!extras.Narrow && extras.Quantized is null)
        {
            return nn.functional.linear(input, weight!, withBias ? bias : null);
        }

        var product = FrozenLinear.apply(input, this);
        return bias is null || !withBias ? product : product.add_(bias);
    }

    /// <inheritdoc/>
    Tensor IDenseWeight.Dense(ScalarType type) => Dense(type);

    /// <summary>The layer's own matrix.</summary>
    internal Tensor Dense(ScalarType type) => _extras.Quantized is { } quantized ? quantized.Dense(type) : weight!.detach().to(type);

    /// <summary>Reads the weights from a checkpoint in the form they were made for.</summary>
    /// <param name="checkpoint">The checkpoint, validated.</param>
    /// <param name="module">The layer's path in it.</param>
    /// <param name="quantizer">Makes levels of a W4A8 model; null for others.</param>
    internal void Fill(Checkpoint checkpoint, string module, MatrixQuantizer? quantizer)
    {
        string name = module + ".weight";
        if (weight is not null)
        {
            TensorFiller.Fill(checkpoint, name, weight);
        }
        else
        {
            int rows = checked((int)OutFeatures), columns = checked((int)InFeatures);
            float[] values = checkpoint.ReadFloat32(name);
            _extras.Quantized = Precision == ProjectionPrecision.EightBit
                ? new EightBitMatrix(quantizer!.QuantizeInt8(name, values, rows, columns))
                : new FourBitMatrix(quantizer!.Quantize(name, values, rows, columns, new LinearSite { Name = module, Channels = columns, Weights = [name] }));
        }

        if (bias is not null)
        {
            TensorFiller.Fill(checkpoint, module + ".bias", bias);
        }
    }

    /// <summary>Moves what TorchSharp does not know of.</summary>
    internal void MoveQuantized(Device device) => _extras.Quantized?.MoveTo(device);

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _extras.Quantized?.Dispose();
            _extras.Quantized = null;
        }

        base.Dispose(disposing);
    }

    private sealed class Extras
    {
        public bool Narrow { get; set; }

        public IFrozenMatrix? Quantized { get; set; }

        public LinearAdapter? Adapter { get; set; }

        public Parameter? Saved { get; set; }
    }
}
