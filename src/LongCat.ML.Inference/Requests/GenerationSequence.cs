using System.Buffers;
using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Threading.Channels;
using LongCat.ML.Inference.Constraints;
using LongCat.ML.Inference.Sampling;
using LongCat.ML.Inference.Scheduling;
using LongCat.ML.Inference.Speculation;
using LongCat.ML.Inference.Text;

namespace LongCat.ML.Inference.Requests;

/// <summary>A completion in progress. Its result goes to a task, its updates to a channel; one of the two is there.</summary>
internal sealed class GenerationSequence : Sequence
{
    private readonly GenerationOptions _options;
    private readonly GenerationLimits _limits;
    private readonly ulong _seed;
    private readonly ITextDecoder? _decoder;
    private readonly StopStringMatcher _matcher;
    private readonly Sampler _sampler;
    private readonly TaskCompletionSource<GenerationResult>? _task;
    private readonly ChannelWriter<GenerationUpdate>? _stream;
    private readonly CancellationToken _cancellationToken;
    private readonly long _submitted = Stopwatch.GetTimestamp();
    private readonly System.Text.StringBuilder _text = new();
    private readonly List<TokenLogProbability>? _logProbabilities;
    private readonly int[] _ends;
    private readonly TokenPenalties? _penalties;
    private ConstraintState? _constraint;
    private GenerationUpdate? _last;
    private FinishReason? _finish;
    private TimeSpan _firstToken;

    public GenerationSequence(
        IReadOnlyList<int> prompt,
        GenerationOptions options,
        GenerationLimits limits,
        ITextDecoder? decoder,
        Sampler sampler,
        TaskCompletionSource<GenerationResult>? task,
        ChannelWriter<GenerationUpdate>? stream,
        int adapter,
        CancellationToken cancellationToken)
        : base(prompt, prompt.Count, adapter)
    {
        _options = options;
        _limits = limits;
        _seed = options.Seed ?? (ulong)Random.Shared.NextInt64(long.MinValue, long.MaxValue);
        _decoder = decoder;
        _matcher = new StopStringMatcher(options.StopStrings);
        _sampler = sampler;
        _task = task;
        _stream = stream;
        _cancellationToken = cancellationToken;
        _constraint = options.Constraint?.Start;
        _penalties = TokenPenalties.Wanted(options) ? new TokenPenalties(options, PromptTokens) : null;
        _ends = [.. (options.IgnoreEos ? [] : limits.EosTokenIds).Union(options.StopTokenIds)];
        _logProbabilities = options.LogProbabilities != 0 && task is not null ? [] : null;
    }

    public override int Target => Tokens.Count;

    public override int NextRow => Tokens.Count - 1;

    /// <summary>The last new token is not computed, so it needs no place.</summary>
    public override int MaxCachedTokens => PromptTokens + _limits.MaxNewTokens - 1;

    public override int MostDrafts => _limits.MaxNewTokens - (Tokens.Count - PromptTokens) - 1;

    public override int MostRefreshed => Speculation?.MostRefreshed ?? 0;

    /// <summary>What speculation remembers of this request; null when it takes no part.</summary>
    public DraftState? Speculation { get; init; }

    /// <summary>
    /// The token that a draft's logits stand for at a position: chosen as the model's own would be, with the draw that the model will have there. Where both agree about the
    /// distribution they then agree about the token, at any temperature. Penalties count the tokens proposed so far. A constraint is not asked: what it forbids is proposed in vain and
    /// rejected.
    /// </summary>
    public int Propose(ReadOnlySpan<float> row, int position)
    {
        ReadOnlySpan<float> logits = _penalties is null ? row : _penalties.Apply(row, Tokens, CollectionsMarshal.AsSpan(Drafts)[..(position - Tokens.Count)]);
        return _sampler.Sample(logits, _options, _seed, position);
    }

    /// <summary>Whether a token ends the request: nothing is worth proposing behind it.</summary>
    public bool Ends(int id) => _ends.Contains(id);

    public override bool Accept(int position, ReadOnlySpan<float> row)
    {
        ReadOnlySpan<float> logits = _penalties is null ? row : _penalties.Apply(row, Tokens, []);
        int id = _constraint is { } constraint ? Choose(logits, constraint) : _sampler.Sample(logits, _options, _seed, Tokens.Count);
        TokenLogProbability? logProbability = _options.LogProbabilities == 0 ? null : Probability(row, id);
        Tokens.Add(id);
        if (Tokens.Count == PromptTokens + 1)
        {
            _firstToken = Stopwatch.GetElapsedTime(_submitted);
        }

        bool ended = Ends(id);
        _constraint = ended ? _constraint : _constraint?.Advance(id);
        string text = ended || _decoder is null ? "" : _matcher.Append(_decoder.Append(id));
        if (ended || _matcher.Matched || _constraint?.IsComplete == true)
        {
            _finish = FinishReason.Stop;
        }
        else if (Tokens.Count - PromptTokens >= _limits.MaxNewTokens)
        {
            _finish = FinishReason.Length;
        }

        if (_finish is not null && _decoder is not null && !_matcher.Matched)
        {
            text += _matcher.Append(_decoder.Flush());
            text += _matcher.Flush();
        }

        GenerationUpdate update = new() { Id = id, Text = text, FinishReason = _finish, CachedPromptTokens = FoundTokens ?? 0, LogProbability = logProbability };
        if (_task is not null)
        {
            _text.Append(text);
            if (logProbability is not null)
            {
                _logProbabilities?.Add(logProbability);
            }
        }
        else if (_finish is null)
        {
            _stream?.TryWrite(update);
        }
        else
        {
            _last = update;
        }

        return _finish is not null;
    }

    public override void Complete()
    {
        if (_last is not null)
        {
            _stream?.TryWrite(_last);
        }

        _stream?.TryComplete();
        _task?.TrySetResult(new GenerationResult
        {
            Ids = Tokens.GetRange(PromptTokens, Tokens.Count - PromptTokens),
            Text = _text.ToString(),
            FinishReason = _finish ?? FinishReason.Length,
            PromptTokens = PromptTokens,
            CachedPromptTokens = FoundTokens ?? 0,
            LogProbabilities = _logProbabilities,
            TimeToFirstToken = _firstToken,
            Elapsed = Stopwatch.GetElapsedTime(_submitted),
        });
    }

    public override void Cancel()
    {
        _stream?.TryWrite(new GenerationUpdate { Id = -1, Text = "", FinishReason = FinishReason.Cancelled });
        _stream?.TryComplete();
        _task?.TrySetCanceled(_cancellationToken);
    }

    public override void Fail(Exception exception)
    {
        _stream?.TryComplete(exception);
        _task?.TrySetException(exception);
    }

    /// <summary>A token that the constraint allows.</summary>
    private int Choose(ReadOnlySpan<float> row, ConstraintState constraint)
    {
        float[] rented = ArrayPool<float>.Shared.Rent(row.Length);
        try
        {
            Span<float> masked = rented.AsSpan(0, row.Length);
            constraint.Apply(row, _ends, masked);
            int id = _sampler.Sample(masked, _options, _seed, Tokens.Count);

            // Where sums of weights round, a draw may fall behind the last weight, on a token of weight 0.
            return float.IsNegativeInfinity(masked[id]) ? Sampler.Greedy(masked, Tokens.Count - 1) : id;
        }
        finally
        {
            ArrayPool<float>.Shared.Return(rented);
        }
    }

    private TokenLogProbability Probability(ReadOnlySpan<float> logits, int id)
    {
        double logSumExp = LogSoftmax.LogSumExp(logits);
        return new TokenLogProbability
        {
            Id = id,
            LogProbability = logits[id] - logSumExp,
            Alternatives = _options.LogProbabilities > 0 ? LogSoftmax.Top(logits, logSumExp, _options.LogProbabilities) : [],
        };
    }
}
