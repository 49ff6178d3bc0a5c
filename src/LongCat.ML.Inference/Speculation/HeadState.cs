namespace LongCat.ML.Inference.Speculation;

/// <summary>What the multi-token-prediction head said last for a request: the token after the next one, and the hidden state that a chained proposal goes on from.</summary>
internal sealed class HeadState(int hiddenSize)
{
    private readonly float[] _hidden = new float[hiddenSize];

    /// <summary>Whether there is anything.</summary>
    public bool Any { get; private set; }

    /// <summary>The proposed token.</summary>
    public int Token { get; private set; }

    /// <summary>[H].</summary>
    public ReadOnlySpan<float> Hidden => _hidden;

    public void Set(int token, ReadOnlySpan<float> hidden)
    {
        Token = token;
        hidden.CopyTo(_hidden);
        Any = true;
    }

    public void Clear() => Any = false;
}
