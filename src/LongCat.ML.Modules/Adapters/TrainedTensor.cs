using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>A tensor of the base model that is trained whole: in its place where it is float32, as a float32 copy that stands in for it where it is frozen in fewer bits.</summary>
internal sealed class TrainedTensor : IDisposable
{
    private readonly Tensor? _original;
    private readonly Action<Parameter?>? _standIn;

    /// <param name="name">Its name in the checkpoint.</param>
    /// <param name="place">The model's own tensor.</param>
    public TrainedTensor(string name, Parameter place)
    {
        (Name, Parameter) = (name, place);
        using var frozen = no_grad();
        _original = place.detach().clone().DetachFromDisposeScope();
    }

    /// <param name="name">Its name in the checkpoint.</param>
    /// <param name="copy">A float32 copy, which this object takes over.</param>
    /// <param name="standIn">Puts the copy in the tensor's place, or takes it away.</param>
    public TrainedTensor(string name, Parameter copy, Action<Parameter?> standIn)
    {
        (Name, Parameter, _standIn) = (name, copy, standIn);
        standIn(copy);
    }

    public string Name { get; }

    public string Module => Name[..Name.LastIndexOf('.')];

    public Parameter Parameter { get; }

    /// <summary>The type its values have on disk.</summary>
    public Checkpoints.TensorType Type { get; init; } = Checkpoints.TensorType.Float32;

    /// <summary>The gradients of an n-gram table's rows, or null.</summary>
    public SparseRows? Rows { get; init; }

    public void Dispose()
    {
        Rows?.Dispose();
        if (_standIn is not null)
        {
            _standIn(null);
            Parameter.Dispose();
            return;
        }

        using var frozen = no_grad();
        Parameter.copy_(_original!);
        _original!.Dispose();
    }
}
