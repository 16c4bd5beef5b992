!> Thickness of corners, and the transports, of the now level.
!!
!! The thickness of a face, e3u = (h(i,j) + h(i+1,j)) / 2, is formed where it is used: cheaper than streaming four more
!! fields through the cache (192 x 192 x 2, 64 bit).
module dome3
   use par_kind, only: wp
   use par_oce, only: jpi, jpj, jpk
   use dom_oce, only: tmask, r1_nf, rland, e2u, e1v
   use oce, only: uu, vv, e3t, e3f, uflx, vflx
   implicit none
   private
   public :: dom_e3

contains

   !> Update e3f, uflx = e2u e3u u and vflx = e1v e3v v; the last row and column have no neighbour. All layers have one coast.
   subroutine dom_e3(Kmm, kj1, kj2)
      integer, intent(in) :: Kmm                  !< now level
      integer, optional, intent(in) :: kj1, kj2   !< rows, at most 1 to jpj-1; absent: those
      integer :: jk, j1, j2, in0, in1
      j1 = 1
      j2 = jpj - 1
      if (present(kj1)) j1 = kj1
      if (present(kj2)) j2 = kj2
      in0 = jpi*(j1 - 1)
      in1 = jpi*j2
      do jk = 1, jpk
         call transports(in0, in1, e3t(:, :, jk, Kmm), uu(:, :, jk, Kmm), vv(:, :, jk, Kmm), e2u, e1v, &
         &               uflx(:, :, jk), vflx(:, :, jk))
         call corners(in0, in1, e3t(:, :, jk, Kmm), tmask(:, :, 1), r1_nf(:, :, 1), rland(:, :, 1), e3f(:, :, jk))
         e3f(jpi, j1:j2, jk) = 1._wp   ! the last column is divided by, too, and not used
      end do
   end subroutine dom_e3

   pure subroutine transports(k0, k1, pe3, pu, pv, pe2u, pe1v, puf, pvf)
      integer, intent(in) :: k0, k1   ! points before the first row, points up to the last one
      real(wp), intent(in), dimension(jpi*jpj) :: pe3, pu, pv, pe2u, pe1v
      real(wp), intent(inout), dimension(jpi*jpj) :: puf, pvf
      integer :: jn
      do jn = k0 + 1, k1
         puf(jn) = pe2u(jn)*((0.5_wp*(pe3(jn) + pe3(jn + 1)))*pu(jn))
         pvf(jn) = pe1v(jn)*((0.5_wp*(pe3(jn) + pe3(jn + jpi)))*pv(jn))
      end do
   end subroutine transports

   !> e3f = sum of h over the wet cells round a corner / their number; 1 m where there is none, so that 1/e3f exists.
   pure subroutine corners(k0, k1, pe3, ptm, pr1, pland, pe3f)
      integer, intent(in) :: k0, k1
      real(wp), intent(in), dimension(jpi*jpj) :: pe3, ptm, pr1, pland
      real(wp), intent(inout), dimension(jpi*jpj) :: pe3f
      integer :: jn
      do jn = k0 + 1, k1 - 1
         pe3f(jn) = ((pe3(jn)*ptm(jn) + pe3(jn + 1)*ptm(jn + 1)) &
         &         + (pe3(jn + jpi)*ptm(jn + jpi) + pe3(jn + jpi + 1)*ptm(jn + jpi + 1)))*pr1(jn) + pland(jn)
      end do
   end subroutine corners
end module dome3
