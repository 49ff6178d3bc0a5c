using static TorchSharp.torch;

namespace LongCat.ML.Modules;

/// <summary>A frozen matrix that is stored in fewer bits than it is computed in.</summary>
internal interface IDenseWeight
{
    /// <summary>The matrix in the type it is multiplied in.</summary>
    /// <param name="type">Float32, or bfloat16 where the device multiplies in it.</param>
    /// <returns>[out, in], owned by the caller's dispose scope.</returns>
    Tensor Dense(ScalarType type);
}
