using LongCat.ML.Checkpoints;
using LongCat.ML.Inference.Requests;
using LongCat.ML.Inference.Speculation;

namespace LongCat.ML.Inference;

/// <summary>Everything about a request that can be checked before it enters the loop: after this, only the model itself can fail.</summary>
public sealed partial class InferenceEngine
{
    /// <summary>The most tokens that the caches hold of one sequence.</summary>
    private long SequenceTokens => (long)_pagesPerSequence * _pageSize;

    private (IReadOnlyList<int> Prompt, GenerationLimits Limits) Prepare(GenerationRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        GenerationOptions options = request.Options ?? throw new ArgumentException("GenerationRequest.Options is null.", nameof(request));
        options.Check();
        if (options.Speculate == true && _speculator is null)
        {
            throw new InferenceException(
                "GenerationOptions.Speculate is true, and the engine was loaded without speculation. Set EngineOptions.Speculation when it is loaded, or leave Speculate out.");
        }

        if (options.VerifySparsely == true && (options.Speculate == false || _speculator is not { IsLossless: false }))
        {
            throw new InferenceException(
                options.Speculate == false
                    ? "GenerationOptions.VerifySparsely is true and Speculate is false: without proposed tokens there is nothing to verify. Leave one of them out."
                    : "GenerationOptions.VerifySparsely is true, and the engine verifies exactly. Set SpeculativeOptions.Verification when it is loaded, or leave VerifySparsely out.");
        }

        if (options.StopStrings.Count > 0 && _codec is null)
        {
            throw new InferenceException("GenerationOptions.StopStrings needs a tokenizer, and the model folder holds no tokenizer.json.");
        }

        if (options.Constraint is { } constraint && !ReferenceEquals(constraint.Tokenizer, Tokenizer))
        {
            throw new InferenceException("GenerationOptions.Constraint was made for another tokenizer than the engine's. Make it with InferenceEngine.Tokenizer.");
        }

        Checked(options.StopTokenIds, "GenerationOptions.StopTokenIds");
        IReadOnlyList<int> prompt = Prompt(request.Prompt, request.PromptIds, nameof(GenerationRequest));

        // The last new token is never computed: the caches may hold one token less than the sequence.
        int longest = LongestSequence;
        int most = Manifest.MaxPositions;
        if (options.Overflow != PromptOverflow.Fail)
        {
            // A generous MaxNewTokens must not eat the prompt: new tokens get at most half of what fits, and more only where the prompt leaves it.
            int reserved = Math.Clamp(options.MaxNewTokens, 1, Math.Max(1, longest / 2));
            prompt = Truncate(prompt, Math.Max(1, longest - reserved), options.Overflow);
            most = longest;
        }

        int room = most - prompt.Count;
        if (room < 1)
        {
            throw new InferenceException(
                $"the prompt has {prompt.Count} tokens; the model's longest sequence is {Manifest.MaxPositions}, new tokens included. Shorten the prompt or set GenerationOptions.Overflow.");
        }

        int newTokens = Math.Min(options.MaxNewTokens, room);
        CheckFits(prompt.Count + Math.Max(1, newTokens) - 1, $"a prompt of {prompt.Count} tokens with up to {newTokens} new tokens", "lower MaxNewTokens, shorten the prompt");
        return (prompt, new GenerationLimits(newTokens, Manifest.EosTokenIds));
    }

    private (IReadOnlyList<int> Prompt, IReadOnlyList<int> Continuation) Prepare(ScoreRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        if (request.Continuation is null == request.ContinuationIds is null || request.Continuation is null != request.Prompt is null)
        {
            throw new ArgumentException("a ScoreRequest needs either Prompt and Continuation or PromptIds and ContinuationIds.", nameof(request));
        }

        IReadOnlyList<int> prompt;
        IReadOnlyList<int> continuation;
        if (request.Continuation is { } text)
        {
            IReadOnlyList<int> alone = Encode(request.Prompt!);
            IReadOnlyList<int> whole = Encode(request.Prompt + text);
            int common = 0;
            while (common < alone.Count && common < whole.Count && alone[common] == whole[common])
            {
                common++;
            }

            prompt = [.. whole.Take(common)];
            continuation = [.. whole.Skip(common)];
        }
        else
        {
            prompt = request.PromptIds ?? throw new ArgumentException("ScoreRequest.PromptIds is null.", nameof(request));
            continuation = request.ContinuationIds!;
        }

        prompt = OrBegin(Checked(prompt, "the prompt"));
        continuation = Checked(continuation, "the continuation");
        if (continuation.Count == 0)
        {
            throw new InferenceException("the continuation to score has no tokens; at least one is expected.");
        }

        // The continuation's last token is never computed.
        int longest = LongestSequence;
        if (request.Overflow != PromptOverflow.Fail)
        {
            prompt = Truncate(prompt, Math.Max(1, longest - continuation.Count), request.Overflow);
        }

        int total = prompt.Count + continuation.Count;
        if (total > Manifest.MaxPositions)
        {
            throw new InferenceException(
                $"prompt and continuation have {prompt.Count} + {continuation.Count} tokens; the model's longest sequence is {Manifest.MaxPositions}. Shorten them or set ScoreRequest.Overflow, which shortens the prompt.");
        }

        CheckFits(total - 1, $"a score over {prompt.Count} + {continuation.Count} tokens", "shorten the texts");
        return (prompt, continuation);
    }

    private IReadOnlyList<int> Prepare(EmbeddingRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        if (!Enum.IsDefined(request.Pooling) || !Enum.IsDefined(request.Overflow))
        {
            throw new ArgumentException($"EmbeddingRequest.Pooling is {request.Pooling} and Overflow is {request.Overflow}; expected members of their types.", nameof(request));
        }

        if (_runner.HiddenSize == 0)
        {
            throw new InferenceException("an embedding was asked for, and the model's graph has no output 'hidden'. Export the model again with this version of LongCat.ML.");
        }

        if (request.Text is null == request.Ids is null)
        {
            throw new ArgumentException($"exactly one of EmbeddingRequest.Text and EmbeddingRequest.Ids must be set; {(request.Text is null ? "neither" : "both")} is.", nameof(request));
        }

        IReadOnlyList<int> tokens = OrBegin(Checked(request.Ids ?? Encode(request.Text!), "the text"));
        if (request.Overflow != PromptOverflow.Fail)
        {
            tokens = Truncate(tokens, (int)Math.Min(Manifest.MaxPositions, SequenceTokens), request.Overflow);
        }

        if (tokens.Count > Manifest.MaxPositions)
        {
            throw new InferenceException(
                $"the text has {tokens.Count} tokens; the model's longest sequence is {Manifest.MaxPositions}. Shorten the text or set EmbeddingRequest.Overflow.");
        }

        CheckFits(tokens.Count, $"an embedding over {tokens.Count} tokens", "shorten the text");
        return tokens;
    }

    private IReadOnlyList<int> PrepareLogits(IReadOnlyList<int> ids)
    {
        ArgumentNullException.ThrowIfNull(ids);
        IReadOnlyList<int> tokens = [.. ids];
        if (tokens.Count == 0)
        {
            throw new InferenceException("logits were asked for over no tokens; at least one is expected.");
        }

        tokens = Checked(tokens, "the list of ids");
        if (tokens.Count > Manifest.MaxPositions)
        {
            throw new InferenceException($"logits were asked for over {tokens.Count} tokens; the model's longest sequence is {Manifest.MaxPositions}.");
        }

        if ((long)tokens.Count * Manifest.VocabSize > Array.MaxLength)
        {
            throw new InferenceException(
                $"logits over {tokens.Count} tokens and a vocabulary of {Manifest.VocabSize} are {(long)tokens.Count * Manifest.VocabSize} numbers; one array holds {Array.MaxLength}. Ask for fewer tokens, or use ScoreAsync.");
        }

        CheckFits(tokens.Count, $"logits over {tokens.Count} tokens", "ask for fewer tokens");
        return tokens;
    }

    /// <summary>What a request needs to speculate; null when it does not.</summary>
    private DraftState? NewDrafts(GenerationOptions options) => options.Speculate == false ? null : _speculator?.NewState(exact: options.VerifySparsely == false);

    /// <summary>Where the adapter of a request lies among those of the engine; -1 for none.</summary>
    private int AdapterIndex(string? name)
    {
        if (name is null)
        {
            return -1;
        }

        return _adapters.TryGetValue(name, out int index)
            ? index
            : throw new InferenceException(
                _adapters.Count == 0
                    ? $"a request asks for the adapter '{name}', and the engine was loaded without adapters. Name its folder in EngineOptions.Adapters."
                    : $"no adapter has the name '{name}'; the engine has {string.Join(", ", Adapters.Select(adapter => $"'{adapter.Name}'"))}. Use one of them, or none.");
    }

    private IReadOnlyList<int> Prompt(string? text, IReadOnlyList<int>? ids, string type)
    {
        if (text is null == ids is null)
        {
            throw new ArgumentException($"exactly one of {type}.Prompt and {type}.PromptIds must be set; {(text is null ? "neither" : "both")} is.");
        }

        return OrBegin(Checked(text is null ? ids! : Encode(text), "the prompt"));
    }

    private IReadOnlyList<int> Encode(string text) => _codec is null
        ? throw new InferenceException("a text was given, and the model folder holds no tokenizer.json. Give token ids, or export the model with its tokenizer.")
        : _codec.Encode(text);

    /// <summary>An empty prompt becomes the begin-of-sequence token.</summary>
    private IReadOnlyList<int> OrBegin(IReadOnlyList<int> prompt)
    {
        if (prompt.Count > 0)
        {
            return prompt;
        }

        return Manifest.BosTokenId is { } bos
            ? [bos]
            : throw new InferenceException("the prompt has no tokens, and the model names no begin-of-sequence token to start from. Give at least one token.");
    }

    /// <summary>A copy with every id in range.</summary>
    private IReadOnlyList<int> Checked(IReadOnlyList<int> ids, string what)
    {
        int[] copy = [.. ids];
        for (int i = 0; i < copy.Length; i++)
        {
            if ((uint)copy[i] >= (uint)Manifest.VocabSize)
            {
                throw new InferenceException($"{what} holds id {copy[i]} at index {i}; ids from 0 to {Manifest.VocabSize - 1} are expected.");
            }
        }

        return copy;
    }

    private static IReadOnlyList<int> Truncate(IReadOnlyList<int> prompt, int length, PromptOverflow overflow)
    {
        if (prompt.Count <= length)
        {
            return prompt;
        }

        return overflow == PromptOverflow.TruncateLeft ? [.. prompt.Skip(prompt.Count - length)] : [.. prompt.Take(length)];
    }

    private void CheckFits(int tokens, string what, string advice)
    {
        if (tokens > SequenceTokens)
        {
            throw new InferenceException(
                (Manifest.Operators == OperatorSet.Standard
                    ? $"{what} needs {tokens} tokens of cache; each of the {_pool!.PageCount} sequences (EngineOptions.MaxSequences) has {_pageSize}. Lower MaxSequences. "
                    : $"{what} needs {((long)tokens + _pageSize - 1) / _pageSize} pages of {_pageSize} tokens; the whole pool has {_pagesPerSequence} pages. ")
                + $"{char.ToUpperInvariant(advice[0])}{advice[1..]}, or give the engine a larger EngineOptions.MemoryBudgetBytes.");
        }
    }
}
