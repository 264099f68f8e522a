"""What is used of Numba beyond its documentation is still there."""

from llvmlite import ir

from sayline_tts.engine.kernels import numba_internals


def test_host_features_are_llvm_names() -> None:
    features = numba_internals.host_features()
    assert not features or all(each[:1] in "+-" for each in features.split(","))


def test_cache_settings_and_locators_exist() -> None:
    assert hasattr(numba_internals.CONFIG, "CACHE_DIR")
    assert hasattr(numba_internals.CacheImpl, numba_internals.CACHE_LOCATORS)


def test_elements_of_tuples_are_extracted() -> None:
    i64 = ir.IntType(64)
    function = ir.Function(ir.Module(), ir.FunctionType(i64, [ir.ArrayType(i64, 3)]), "f")
    builder = ir.IRBuilder(function.append_basic_block())
    builder.ret(numba_internals.element(builder, function.args[0], 2))
    assert "extractvalue" in str(function)
