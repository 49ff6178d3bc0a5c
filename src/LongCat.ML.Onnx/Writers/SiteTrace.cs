using LongCat.ML.Quantization;

namespace LongCat.ML.Onnx;

/// <summary>What a graph says about one input of linear layers while it is written. The graph of the float form is written first and tells the quantized form everything.</summary>
internal sealed class SiteTrace(string name)
{
    private readonly List<string> _weights = [];
    private readonly List<string> _floatReaders = [];
    private bool _foldable = true;

    public string Name { get; } = name;

    public int Channels { get; private set; }

    /// <summary>The norm that makes the value, if one does.</summary>
    public string? Norm { get; init; }

    public string? Parent { get; init; }

    public int? Expert { get; init; }

    /// <summary>Whether a linear layer reads the value, which the quantized form then gives it in 8 bits.</summary>
    public bool ReadInBytes { get; private set; }

    /// <summary>Whether something reads the value as it is: a router, a mixture, an output.</summary>
    public bool ReadAsFloat { get; private set; }

    /// <summary>A linear layer reads the value.</summary>
    public void ReadBy(string weight, int channels)
    {
        AddWeight(weight, channels);
        ReadInBytes = true;
    }

    /// <summary>A matrix inside an operator of its own reads it: an expert.</summary>
    public void AddWeight(string weight, int channels)
    {
        _weights.Add(weight);
        Channels = channels;
    }

    /// <summary>A float matrix reads the value: it is multiplied along when the norm's gain is divided.</summary>
    public void ReadByRouter(string matrix, int channels)
    {
        _floatReaders.Add(matrix);
        Channels = channels;
        ReadAsFloat = true;
    }

    /// <summary>Something reads the value that cannot undo a division of the norm's gain.</summary>
    public void Fix() => _foldable = false;

    public LinearSite ToSite() => new()
    {
        Name = Name,
        Channels = Channels,
        Weights = _weights,
        Norm = _foldable ? Norm : null,
        FloatReaders = _floatReaders,
        Parent = Parent,
        Expert = Expert,
    };
}
